//! SMTP client (RFC 5321), without I/O.

mod features;
mod offer;

pub use features::Features;
pub use offer::{Offer, OfferedRecipient};
