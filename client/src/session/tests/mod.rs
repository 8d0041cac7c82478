//! Scripts of what a session says and hears.
