//! A UID belongs to the door that used it first.

use std::time::Duration;

use htc_operator::engine::{Want, Wish, WishError};

use crate::life::{DOOR, Life, uid, wish};
use crate::pool::Scripted;

super::claims![what_one_door_has_no_other_takes_or_removes, a_tombstone_of_one_door_says_so_to_the_other];

async fn what_one_door_has_no_other_takes_or_removes() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    let taken = life.engine.run(Wish { door: "other", ..wish("a", 3) }).await.unwrap_err();
    assert!(matches!(&taken, WishError::Taken(_, door) if door == DOOR), "{taken}");
    life.engine.gone_later(&uid("a"), "other", Duration::ZERO).await.unwrap();
    life.engine.abandon(&uid("a"), "other").await.unwrap();
    let view = life.view("a");
    assert_eq!((view.want, view.jobs.len()), (Want::Run, 1));
}

async fn a_tombstone_of_one_door_says_so_to_the_other() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.is_ready().await;
    life.engine.abandon(&uid("a"), DOOR).await.unwrap();
    let taken = life.engine.run(Wish { door: "other", ..wish("a", 1) }).await.unwrap_err();
    assert!(matches!(taken, WishError::Taken(..)), "{taken}");
}
