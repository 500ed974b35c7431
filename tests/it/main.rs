//! Black-box tests of the binary: a file per promise, topology or protocol.

mod demo;
