//! The JSON of InterLink, as the released clients write it: null for every list, fields that nobody
//! knows, and three spellings of one thing.
