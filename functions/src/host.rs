//! What runs handlers. A handler never knows which of these it runs in.

pub mod local;
