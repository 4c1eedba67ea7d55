-- Two bookings of one room never overlap: the database sees to that, however many clerks book at the same time.
CREATE EXTENSION btree_gist;

CREATE TABLE rooms (
    name text PRIMARY KEY,
    seats integer NOT NULL
);

CREATE TABLE bookings (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    room text NOT NULL REFERENCES rooms,
    during tsrange NOT NULL CHECK (NOT isempty(during)),
    who text NOT NULL,
    CONSTRAINT one_booking_at_a_time EXCLUDE USING gist (room WITH =, during WITH &&)
);

-- Mails that are to be sent. A mail is written with its booking or not at all.
CREATE TABLE mails (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recipient text NOT NULL,
    text text NOT NULL
);

INSERT INTO rooms VALUES ('Garden', 4), ('Library', 8), ('Attic', 20);
