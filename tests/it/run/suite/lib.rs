//! A suite whose tests share a server.
