-- Whose charges began is asked for whenever a controller takes over.
CREATE INDEX journal_charges ON journal (tenant) WHERE subject = 'Charges';

-- An account and its place among those whose numbers begin alike.
CREATE TABLE ledger_account (
    id TEXT NOT NULL PRIMARY KEY,
    prefix TEXT NOT NULL,
    place INTEGER NOT NULL CHECK (place > 0),
    UNIQUE (prefix, place)
) STRICT;

-- Its log: the truth about it. A fact's hash is that of the fact before it, its kind and its text.
CREATE TABLE ledger_log (
    account TEXT NOT NULL REFERENCES ledger_account (id),
    sequence INTEGER NOT NULL CHECK (sequence > 0),
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    hash TEXT NOT NULL,
    -- How much of the account's usage a run knew.
    usage_until INTEGER NOT NULL,
    -- Unix seconds.
    written_at INTEGER NOT NULL,
    PRIMARY KEY (account, sequence),
    UNIQUE (account, id)
) STRICT, WITHOUT ROWID;

-- Where an account's log ends, and when it is looked at next.
CREATE TABLE ledger_state (
    account TEXT NOT NULL PRIMARY KEY REFERENCES ledger_account (id),
    sequence INTEGER NOT NULL,
    hash TEXT NOT NULL,
    -- Unix seconds; none while nothing will be due.
    next_due INTEGER,
    -- Why a person has to look at it; empty when nobody has.
    parked TEXT NOT NULL
) STRICT;

CREATE INDEX ledger_due ON ledger_state (next_due) WHERE parked = '' AND next_due IS NOT NULL;

-- What meters counted: so many hours in a row, each as eight bytes.
CREATE TABLE ledger_usage (
    sequence INTEGER NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES ledger_account (id),
    subscription TEXT NOT NULL,
    meter TEXT NOT NULL,
    -- Unix seconds of the first hour.
    from_at INTEGER NOT NULL,
    hours INTEGER NOT NULL CHECK (hours > 0),
    revision INTEGER NOT NULL,
    quantities BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    UNIQUE (account, subscription, meter, revision, from_at)
) STRICT;

CREATE INDEX ledger_usage_of_account ON ledger_usage (account, sequence);

-- What was posted. Its natural key is unique.
CREATE TABLE ledger_posting (
    account TEXT NOT NULL,
    entry INTEGER NOT NULL CHECK (entry > 0),
    id TEXT NOT NULL,
    subscription TEXT NOT NULL,
    minor INTEGER NOT NULL,
    -- The fact of the log that posted it.
    sequence INTEGER NOT NULL,
    PRIMARY KEY (account, entry),
    UNIQUE (account, id),
    FOREIGN KEY (account, sequence) REFERENCES ledger_log (account, sequence)
) STRICT, WITHOUT ROWID;

-- Documents, each numbered when it was final.
CREATE TABLE ledger_document (
    number TEXT NOT NULL PRIMARY KEY,
    series TEXT NOT NULL,
    place INTEGER NOT NULL CHECK (place > 0),
    account TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    issued TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (series, place),
    FOREIGN KEY (account, sequence) REFERENCES ledger_log (account, sequence)
) STRICT;

CREATE INDEX ledger_document_of_account ON ledger_document (account, sequence);

-- Whose lines a document has.
CREATE TABLE ledger_share (
    subscription TEXT NOT NULL,
    number TEXT NOT NULL REFERENCES ledger_document (number),
    PRIMARY KEY (subscription, number)
) STRICT, WITHOUT ROWID;

-- How many of a series there are.
CREATE TABLE ledger_series (
    series TEXT NOT NULL PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT;

-- What is still to be told to somebody outside, written with what it tells of.
CREATE TABLE ledger_outbox (
    id TEXT NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL UNIQUE,
    sink TEXT NOT NULL,
    subscription TEXT NOT NULL,
    number TEXT NOT NULL REFERENCES ledger_document (number),
    is_done INTEGER NOT NULL CHECK (is_done IN (0, 1))
) STRICT;

CREATE INDEX ledger_outbox_open ON ledger_outbox (sink, sequence) WHERE is_done = 0;

-- What is kept is never changed. INSERT OR REPLACE would delete rows without firing the other triggers.
CREATE TRIGGER ledger_account_keeps_updated BEFORE UPDATE ON ledger_account
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_account_keeps_deleted BEFORE DELETE ON ledger_account
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_account_keeps_replaced BEFORE INSERT ON ledger_account
WHEN EXISTS (
    SELECT 1 FROM ledger_account
    WHERE id = NEW.id OR (prefix = NEW.prefix AND place = NEW.place)
)
BEGIN
    SELECT RAISE(ABORT, 'the ledger has it already');
END;

CREATE TRIGGER ledger_log_keeps_updated BEFORE UPDATE ON ledger_log
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_log_keeps_deleted BEFORE DELETE ON ledger_log
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_log_keeps_replaced BEFORE INSERT ON ledger_log
WHEN EXISTS (
    SELECT 1 FROM ledger_log
    WHERE account = NEW.account AND (sequence = NEW.sequence OR id = NEW.id)
)
BEGIN
    SELECT RAISE(ABORT, 'the ledger has it already');
END;

CREATE TRIGGER ledger_usage_keeps_updated BEFORE UPDATE ON ledger_usage
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_usage_keeps_deleted BEFORE DELETE ON ledger_usage
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_usage_keeps_replaced BEFORE INSERT ON ledger_usage
WHEN EXISTS (
    SELECT 1 FROM ledger_usage
    WHERE sequence = NEW.sequence
        OR (account = NEW.account AND subscription = NEW.subscription AND meter = NEW.meter
            AND revision = NEW.revision AND from_at = NEW.from_at)
)
BEGIN
    SELECT RAISE(ABORT, 'the ledger has it already');
END;

CREATE TRIGGER ledger_posting_keeps_updated BEFORE UPDATE ON ledger_posting
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_posting_keeps_deleted BEFORE DELETE ON ledger_posting
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_posting_keeps_replaced BEFORE INSERT ON ledger_posting
WHEN EXISTS (
    SELECT 1 FROM ledger_posting
    WHERE account = NEW.account AND (entry = NEW.entry OR id = NEW.id)
)
BEGIN
    SELECT RAISE(ABORT, 'the ledger has it already');
END;

CREATE TRIGGER ledger_document_keeps_updated BEFORE UPDATE ON ledger_document
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_document_keeps_deleted BEFORE DELETE ON ledger_document
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_document_keeps_replaced BEFORE INSERT ON ledger_document
WHEN EXISTS (
    SELECT 1 FROM ledger_document
    WHERE number = NEW.number OR (series = NEW.series AND place = NEW.place)
)
BEGIN
    SELECT RAISE(ABORT, 'the ledger has it already');
END;

CREATE TRIGGER ledger_share_keeps_updated BEFORE UPDATE ON ledger_share
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_share_keeps_deleted BEFORE DELETE ON ledger_share
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_share_keeps_replaced BEFORE INSERT ON ledger_share
WHEN EXISTS (
    SELECT 1 FROM ledger_share
    WHERE subscription = NEW.subscription AND number = NEW.number
)
BEGIN
    SELECT RAISE(ABORT, 'the ledger has it already');
END;

-- A series counts on by one, a log grows, and what was told stays told.
CREATE TRIGGER ledger_series_counts BEFORE UPDATE ON ledger_series
WHEN NEW.series <> OLD.series OR NEW.count <> OLD.count + 1
BEGIN
    SELECT RAISE(ABORT, 'a series counts on by one');
END;

CREATE TRIGGER ledger_series_begins BEFORE INSERT ON ledger_series
WHEN NEW.count <> 1 OR EXISTS (SELECT 1 FROM ledger_series WHERE series = NEW.series)
BEGIN
    SELECT RAISE(ABORT, 'a series begins once, with one');
END;

CREATE TRIGGER ledger_series_stays BEFORE DELETE ON ledger_series
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_state_grows BEFORE UPDATE ON ledger_state
WHEN NEW.account <> OLD.account OR NEW.sequence < OLD.sequence
    OR (NEW.sequence = OLD.sequence AND NEW.hash <> OLD.hash)
BEGIN
    SELECT RAISE(ABORT, 'a log only grows');
END;

CREATE TRIGGER ledger_state_stays BEFORE DELETE ON ledger_state
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_outbox_keeps BEFORE UPDATE ON ledger_outbox
WHEN NEW.id <> OLD.id OR NEW.sequence <> OLD.sequence OR NEW.sink <> OLD.sink
    OR NEW.subscription <> OLD.subscription OR NEW.number <> OLD.number OR NEW.is_done < OLD.is_done
BEGIN
    SELECT RAISE(ABORT, 'what was told stays told');
END;

CREATE TRIGGER ledger_outbox_stays BEFORE DELETE ON ledger_outbox
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
