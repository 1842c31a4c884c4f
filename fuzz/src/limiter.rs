pub fn limiter(_: &[u8]) {}
