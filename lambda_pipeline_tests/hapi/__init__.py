"""What only tests do to the imitation of HAPI: replay a log of requests, and write rows that no request leaves."""
