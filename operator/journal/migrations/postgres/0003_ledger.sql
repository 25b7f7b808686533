-- Whose charges began is asked for whenever a controller takes over.
CREATE INDEX journal_charges ON journal (tenant) WHERE subject = 'Charges';

-- An account and its place among those whose numbers begin alike.
CREATE TABLE ledger_account (
    id TEXT NOT NULL PRIMARY KEY,
    prefix TEXT NOT NULL,
    place BIGINT NOT NULL CHECK (place > 0),
    UNIQUE (prefix, place)
);

-- Its log: the truth about it. A fact's hash is that of the fact before it, its kind and its text.
CREATE TABLE ledger_log (
    account TEXT NOT NULL REFERENCES ledger_account (id),
    sequence BIGINT NOT NULL CHECK (sequence > 0),
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    hash TEXT NOT NULL,
    -- How much of the account's usage a run knew.
    usage_until BIGINT NOT NULL,
    -- Unix seconds.
    written_at BIGINT NOT NULL,
    PRIMARY KEY (account, sequence),
    UNIQUE (account, id)
);

-- Where an account's log ends, and when it is looked at next.
CREATE TABLE ledger_state (
    account TEXT NOT NULL PRIMARY KEY REFERENCES ledger_account (id),
    sequence BIGINT NOT NULL,
    hash TEXT NOT NULL,
    -- Unix seconds; none while nothing will be due.
    next_due BIGINT,
    -- Why a person has to look at it; empty when nobody has.
    parked TEXT NOT NULL
);

CREATE INDEX ledger_due ON ledger_state (next_due) WHERE parked = '' AND next_due IS NOT NULL;

-- What meters counted: so many hours in a row, each as eight bytes.
CREATE TABLE ledger_usage (
    sequence BIGINT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES ledger_account (id),
    subscription TEXT NOT NULL,
    meter TEXT NOT NULL,
    -- Unix seconds of the first hour.
    from_at BIGINT NOT NULL,
    hours BIGINT NOT NULL CHECK (hours > 0),
    revision BIGINT NOT NULL,
    quantities BYTEA NOT NULL,
    received_at BIGINT NOT NULL,
    UNIQUE (account, subscription, meter, revision, from_at)
);

CREATE INDEX ledger_usage_of_account ON ledger_usage (account, sequence);

-- What was posted. Its natural key is unique.
CREATE TABLE ledger_posting (
    account TEXT NOT NULL,
    entry BIGINT NOT NULL CHECK (entry > 0),
    id TEXT NOT NULL,
    subscription TEXT NOT NULL,
    minor BIGINT NOT NULL,
    -- The fact of the log that posted it.
    sequence BIGINT NOT NULL,
    PRIMARY KEY (account, entry),
    UNIQUE (account, id),
    FOREIGN KEY (account, sequence) REFERENCES ledger_log (account, sequence)
);

-- Documents, each numbered when it was final.
CREATE TABLE ledger_document (
    number TEXT NOT NULL PRIMARY KEY,
    series TEXT NOT NULL,
    place BIGINT NOT NULL CHECK (place > 0),
    account TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    issued TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (series, place),
    FOREIGN KEY (account, sequence) REFERENCES ledger_log (account, sequence)
);

CREATE INDEX ledger_document_of_account ON ledger_document (account, sequence);

-- Whose lines a document has.
CREATE TABLE ledger_share (
    subscription TEXT NOT NULL,
    number TEXT NOT NULL REFERENCES ledger_document (number),
    PRIMARY KEY (subscription, number)
);

-- How many of a series there are.
CREATE TABLE ledger_series (
    series TEXT NOT NULL PRIMARY KEY,
    count BIGINT NOT NULL
);

-- What is still to be told to somebody outside, written with what it tells of.
CREATE TABLE ledger_outbox (
    id TEXT NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL UNIQUE,
    sink TEXT NOT NULL,
    subscription TEXT NOT NULL,
    number TEXT NOT NULL REFERENCES ledger_document (number),
    is_done BIGINT NOT NULL CHECK (is_done IN (0, 1))
);

CREATE INDEX ledger_outbox_open ON ledger_outbox (sink, sequence) WHERE is_done = 0;

-- What is kept is never changed.
CREATE FUNCTION ledger_keeps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only';
END;
$$;

CREATE TRIGGER ledger_account_keeps BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_account
FOR EACH STATEMENT EXECUTE FUNCTION ledger_keeps();

CREATE TRIGGER ledger_log_keeps BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_log
FOR EACH STATEMENT EXECUTE FUNCTION ledger_keeps();

CREATE TRIGGER ledger_usage_keeps BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_usage
FOR EACH STATEMENT EXECUTE FUNCTION ledger_keeps();

CREATE TRIGGER ledger_posting_keeps BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_posting
FOR EACH STATEMENT EXECUTE FUNCTION ledger_keeps();

CREATE TRIGGER ledger_document_keeps BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_document
FOR EACH STATEMENT EXECUTE FUNCTION ledger_keeps();

CREATE TRIGGER ledger_share_keeps BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_share
FOR EACH STATEMENT EXECUTE FUNCTION ledger_keeps();

CREATE TRIGGER ledger_series_stays BEFORE DELETE OR TRUNCATE ON ledger_series
FOR EACH STATEMENT EXECUTE FUNCTION ledger_keeps();

CREATE TRIGGER ledger_state_stays BEFORE DELETE OR TRUNCATE ON ledger_state
FOR EACH STATEMENT EXECUTE FUNCTION ledger_keeps();

CREATE TRIGGER ledger_outbox_stays BEFORE DELETE OR TRUNCATE ON ledger_outbox
FOR EACH STATEMENT EXECUTE FUNCTION ledger_keeps();

-- A series counts on by one, a log grows, and what was told stays told.
CREATE FUNCTION ledger_series_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.count <> 1 THEN
            RAISE EXCEPTION 'a series begins once, with one';
        END IF;
    ELSIF NEW.series <> OLD.series OR NEW.count <> OLD.count + 1 THEN
        RAISE EXCEPTION 'a series counts on by one';
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER ledger_series_counts BEFORE INSERT OR UPDATE ON ledger_series
FOR EACH ROW EXECUTE FUNCTION ledger_series_counts();

CREATE FUNCTION ledger_state_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.account <> OLD.account OR NEW.sequence < OLD.sequence
        OR (NEW.sequence = OLD.sequence AND NEW.hash <> OLD.hash) THEN
        RAISE EXCEPTION 'a log only grows';
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER ledger_state_grows BEFORE UPDATE ON ledger_state
FOR EACH ROW EXECUTE FUNCTION ledger_state_grows();

CREATE FUNCTION ledger_outbox_keeps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id <> OLD.id OR NEW.sequence <> OLD.sequence OR NEW.sink <> OLD.sink
        OR NEW.subscription <> OLD.subscription OR NEW.number <> OLD.number OR NEW.is_done < OLD.is_done THEN
        RAISE EXCEPTION 'what was told stays told';
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER ledger_outbox_keeps BEFORE UPDATE ON ledger_outbox
FOR EACH ROW EXECUTE FUNCTION ledger_outbox_keeps();
