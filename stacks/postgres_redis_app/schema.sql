create table if not exists notes (
    id bigint generated always as identity primary key,
    written timestamptz not null default now(),
    text text not null check (text <> '')
);
