-- Payments, each once, whoever tells of it how often: found by what its provider calls it. Each is a fact of its account's log.
CREATE TABLE ledger_payment (
    provider TEXT NOT NULL,
    id TEXT NOT NULL,
    account TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    -- Negative where it went out again.
    minor INTEGER NOT NULL CHECK (minor <> 0),
    PRIMARY KEY (provider, id),
    FOREIGN KEY (account, sequence) REFERENCES ledger_log (account, sequence)
) STRICT, WITHOUT ROWID;

CREATE INDEX ledger_payment_of_account ON ledger_payment (account, sequence);

CREATE TRIGGER ledger_payment_keeps_updated BEFORE UPDATE ON ledger_payment
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_payment_keeps_deleted BEFORE DELETE ON ledger_payment
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_payment_keeps_replaced BEFORE INSERT ON ledger_payment
WHEN EXISTS (
    SELECT 1 FROM ledger_payment
    WHERE provider = NEW.provider AND id = NEW.id
)
BEGIN
    SELECT RAISE(ABORT, 'the ledger has it already');
END;

-- A delivery may be of a notice that a document is not paid, as well as of the document itself, whose stage is empty; and what a sink
-- takes no notices of is skipped there.
CREATE TABLE ledger_delivery_with_stage (
    sink TEXT NOT NULL,
    number TEXT NOT NULL REFERENCES ledger_document (number),
    stage TEXT NOT NULL,
    -- From one on.
    attempt INTEGER NOT NULL CHECK (attempt > 0),
    state TEXT NOT NULL CHECK (state IN ('Pending', 'Resend', 'Sent', 'Failed', 'Superseded', 'Skipped')),
    -- How often it was tried, and how often the other side answered that it failed.
    tries INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    -- Unix seconds; before that it is not tried again.
    next_at INTEGER NOT NULL,
    -- The id that the document has there; empty where it has none.
    foreign_id TEXT NOT NULL,
    -- What came of the last try, or who asked for it again.
    reason TEXT NOT NULL,
    PRIMARY KEY (sink, number, stage, attempt)
) STRICT, WITHOUT ROWID;

INSERT INTO ledger_delivery_with_stage (sink, number, stage, attempt, state, tries, answered, next_at, foreign_id, reason)
SELECT sink, number, '', attempt, state, tries, answered, next_at, foreign_id, reason FROM ledger_delivery;

DROP TABLE ledger_delivery;
ALTER TABLE ledger_delivery_with_stage RENAME TO ledger_delivery;

CREATE INDEX ledger_delivery_open ON ledger_delivery (next_at) WHERE state IN ('Pending', 'Resend');
