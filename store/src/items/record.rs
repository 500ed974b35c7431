//! The items of one record: what `trace` reads.

use engine::{Consistency, Order, Range, ReadError, Version};
use mail::RecordId;

use super::{Items, item_of};
use crate::rows::{self, Item, ItemKey, ItemKind};

impl Items {
    /// The items that carry this record, finished ones too as long as they are kept; at most
    /// `limit`. One query of one partition.
    /// # Errors
    /// [`ReadError`].
    pub async fn of_record(
        &self,
        record: RecordId,
        limit: usize,
    ) -> Result<Vec<(ItemKey, Item, Version)>, ReadError> {
        let any = ItemKey { id: record, kind: ItemKind::Local, destination: String::new(), k: 0 };
        let mut end = record.to_bytes().to_vec();
        end.push(u8::MAX);
        let range = Range {
            partition: rows::item_key(&any).partition,
            from: Some(record.to_bytes().to_vec().into()),
            to: Some(end.into()),
            order: Order::Forward,
            limit,
            consistency: Consistency::Strong,
        };
        let found = self.cx.engines.index.range(&range).await?;
        found.into_iter().map(item_of).collect()
    }
}
