-- What was told of usage: each event once, by whom it is about, who told it, its source and its id. It is told unfenced; the key
-- decides.
CREATE TABLE usage_event (
    tenant TEXT NOT NULL,
    reporter TEXT NOT NULL CHECK (reporter IN ('Tenant', 'Provider')),
    source TEXT NOT NULL,
    event_id TEXT NOT NULL,
    meter TEXT NOT NULL,
    -- What the meter counted then.
    unit TEXT NOT NULL,
    -- Unix seconds of the begin of the hour that it counts in.
    hour_at INTEGER NOT NULL CHECK (hour_at % 3600 = 0),
    -- The instant at which it happened.
    happened TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity >= 0),
    -- Whether its hour was over, and waited for, when it was told.
    is_late INTEGER NOT NULL CHECK (is_late IN (0, 1)),
    -- Unix seconds.
    received_at INTEGER NOT NULL,
    -- The name by which the API server knows who told it.
    told_by TEXT NOT NULL,
    PRIMARY KEY (tenant, reporter, source, event_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_event_of_hour ON usage_event (tenant, meter, hour_at);

-- What was told and does not count, with the reason. Empty texts stand for what an event does not have.
CREATE TABLE usage_quarantine (
    tenant TEXT NOT NULL,
    reporter TEXT NOT NULL CHECK (reporter IN ('Tenant', 'Provider')),
    -- Of its text: told again, it is the same.
    digest TEXT NOT NULL,
    source TEXT NOT NULL,
    event_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    cause TEXT NOT NULL,
    field TEXT NOT NULL,
    reason TEXT NOT NULL,
    remedy TEXT NOT NULL,
    body TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    told_by TEXT NOT NULL,
    PRIMARY KEY (tenant, reporter, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_quarantine_by_time ON usage_quarantine (tenant, received_at);

-- Hours of which the ledger was not told everything yet. A row goes when it was.
CREATE TABLE usage_pending (
    tenant TEXT NOT NULL,
    meter TEXT NOT NULL,
    hour_at INTEGER NOT NULL,
    -- Unix seconds; before that more of the hour is waited for.
    due_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, meter, hour_at)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_pending_due ON usage_pending (due_at);

-- What is kept is never changed. INSERT OR REPLACE would delete rows without firing the other triggers.
CREATE TRIGGER usage_event_keeps_updated BEFORE UPDATE ON usage_event
BEGIN
    SELECT RAISE(ABORT, 'what was told of usage is append-only');
END;

CREATE TRIGGER usage_event_keeps_deleted BEFORE DELETE ON usage_event
BEGIN
    SELECT RAISE(ABORT, 'what was told of usage is append-only');
END;

CREATE TRIGGER usage_event_keeps_replaced BEFORE INSERT ON usage_event
WHEN EXISTS (
    SELECT 1 FROM usage_event
    WHERE tenant = NEW.tenant AND reporter = NEW.reporter AND source = NEW.source AND event_id = NEW.event_id
)
BEGIN
    SELECT RAISE(ABORT, 'it was told already');
END;

CREATE TRIGGER usage_quarantine_keeps_updated BEFORE UPDATE ON usage_quarantine
BEGIN
    SELECT RAISE(ABORT, 'what was told of usage is append-only');
END;

CREATE TRIGGER usage_quarantine_keeps_deleted BEFORE DELETE ON usage_quarantine
BEGIN
    SELECT RAISE(ABORT, 'what was told of usage is append-only');
END;

CREATE TRIGGER usage_quarantine_keeps_replaced BEFORE INSERT ON usage_quarantine
WHEN EXISTS (
    SELECT 1 FROM usage_quarantine
    WHERE tenant = NEW.tenant AND reporter = NEW.reporter AND digest = NEW.digest
)
BEGIN
    SELECT RAISE(ABORT, 'it was told already');
END;
