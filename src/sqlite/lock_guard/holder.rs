//! Who holds a database's write lock, as far as the kernel tells.
