pub fn policy(_: &[u8]) {}
