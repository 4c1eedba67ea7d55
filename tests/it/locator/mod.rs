//! The locator as its users see it, under both runners.
