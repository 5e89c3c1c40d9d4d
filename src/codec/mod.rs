//! Python objects to msgpack bytes and back.
