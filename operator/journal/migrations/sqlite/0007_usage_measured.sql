-- Meters whose numbers a Prometheus measures, as applications declared them when their hours were told.
CREATE TABLE usage_measured (
    application TEXT NOT NULL,
    meter TEXT NOT NULL,
    unit TEXT NOT NULL,
    PRIMARY KEY (application, meter)
) STRICT, WITHOUT ROWID;

-- Hours of these that could not be told yet. A row goes when the hour was told.
CREATE TABLE usage_missing (
    application TEXT NOT NULL,
    meter TEXT NOT NULL,
    -- Unix seconds of the begin of the hour.
    hour_at INTEGER NOT NULL CHECK (hour_at % 3600 = 0),
    -- Of whom it is missing; empty where of everybody who lacks it.
    tenant TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (application, meter, hour_at, tenant)
) STRICT, WITHOUT ROWID;
