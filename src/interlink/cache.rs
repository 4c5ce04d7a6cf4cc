//! `/updateCache`: there is no cache here, so what is sent is right already.

pub(super) async fn update() {}
