-- Payments, each once, whoever tells of it how often: found by what its provider calls it. Each is a fact of its account's log.
CREATE TABLE ledger_payment (
    provider TEXT NOT NULL,
    id TEXT NOT NULL,
    account TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    -- Negative where it went out again.
    minor BIGINT NOT NULL CHECK (minor <> 0),
    PRIMARY KEY (provider, id),
    FOREIGN KEY (account, sequence) REFERENCES ledger_log (account, sequence)
);

CREATE INDEX ledger_payment_of_account ON ledger_payment (account, sequence);

CREATE TRIGGER ledger_payment_keeps BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_payment
FOR EACH STATEMENT EXECUTE FUNCTION ledger_keeps();

-- A delivery may be of a notice that a document is not paid, as well as of the document itself, whose stage is empty; and what a sink
-- takes no notices of is skipped there.
ALTER TABLE ledger_delivery ADD COLUMN stage TEXT NOT NULL DEFAULT '';
ALTER TABLE ledger_delivery DROP CONSTRAINT ledger_delivery_pkey;
ALTER TABLE ledger_delivery ADD PRIMARY KEY (sink, number, stage, attempt);
ALTER TABLE ledger_delivery DROP CONSTRAINT ledger_delivery_state_check;
ALTER TABLE ledger_delivery ADD CHECK (state IN ('Pending', 'Resend', 'Sent', 'Failed', 'Superseded', 'Skipped'));
