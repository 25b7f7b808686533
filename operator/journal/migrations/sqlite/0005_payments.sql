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
