//! The client against a scripted server at the other end of a pipe.
