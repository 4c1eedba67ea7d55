CREATE TABLE books (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text NOT NULL UNIQUE CHECK (title <> ''),
    copies integer NOT NULL CHECK (copies > 0)
);

CREATE TABLE loans (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    book bigint NOT NULL REFERENCES books,
    reader text NOT NULL CHECK (reader <> ''),
    UNIQUE (book, reader)
);
