-- What becomes of documents at the systems that are told of them. A row is one delivery; it begins with its document, in the same
-- transaction, or when a person asks for another one, which stands in the place of those before it.
CREATE TABLE ledger_delivery (
    sink TEXT NOT NULL,
    number TEXT NOT NULL REFERENCES ledger_document (number),
    -- From one on.
    attempt BIGINT NOT NULL CHECK (attempt > 0),
    state TEXT NOT NULL CHECK (state IN ('Pending', 'Resend', 'Sent', 'Failed', 'Superseded')),
    -- How often it was tried, and how often the other side answered that it failed.
    tries BIGINT NOT NULL,
    answered BIGINT NOT NULL,
    -- Unix seconds; before that it is not tried again.
    next_at BIGINT NOT NULL,
    -- The id that the document has there; empty where it has none.
    foreign_id TEXT NOT NULL,
    -- What came of the last try, or who asked for it again.
    reason TEXT NOT NULL,
    PRIMARY KEY (sink, number, attempt)
);

CREATE INDEX ledger_delivery_open ON ledger_delivery (next_at) WHERE state IN ('Pending', 'Resend');
