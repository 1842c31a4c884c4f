//! What a request expects to use, as its body of JSON tells it.
//!
//! One pass over the bytes. Only names and numbers of the outer object are looked at, and those of the settings inside of it that
//! bound an answer's length; all else is text to be estimated. Nothing is kept, so there is nothing that a body can make large.

use crate::tokens::{Usage, thirds};

/// Members of the outer object that bound the answer.
const BOUNDS: [&[u8]; 3] = [b"max_tokens", b"max_completion_tokens", b"max_output_tokens"];

/// Members of the outer object that say how many answers are made.
const ANSWERS: [&[u8]; 2] = [b"n", b"best_of"];

/// The member of it whose texts are answered one by one, if it is an array: of OpenAI's older completions.
const PROMPT: &[u8] = b"prompt";

/// Objects in the outer one that bound the answer: Gemini's, and Bedrock's.
const SETTINGS: [&[u8]; 3] = [b"generationConfig", b"generation_config", b"inferenceConfig"];

/// Their members.
const INNER_BOUNDS: [&[u8]; 3] = [b"maxOutputTokens", b"max_output_tokens", b"maxTokens"];
const INNER_ANSWERS: [&[u8]; 2] = [b"candidateCount", b"candidate_count"];

/// The ends of paths to what writes nothing: embeddings and what counts or judges, by OpenAI, Anthropic and Gemini.
const WITHOUT_OUTPUT: [&str; 7] = [
    "/embeddings",
    "/moderations",
    "/responses/input_tokens",
    "/messages/count_tokens",
    ":embedContent",
    ":batchEmbedContents",
    ":countTokens",
];

/// The most that a string of Base64 counts as, in thirds of a token. Providers count a picture as about so much at most.
const MOST_BASE64: u64 = 3 * 1_600;

/// What stands before the Base64 of a data URL, at most.
const LONGEST_MARK: usize = 128;

/// Base64 in lines has at least so many digits in each but the last. Words or numbers in lines have fewer.
const SHORTEST_LINE: u32 = 60;

/// With the feature `http`.
impl Usage {
    /// What a request expects to use at most, by its body: a JSON object in the form of OpenAI (chat completions, responses,
    /// embeddings), Anthropic, Gemini or Bedrock. `None` if it is no object, or one that does not end.
    ///
    /// * **Input**: as [`estimate_tokens`](crate::estimate_tokens) counts the whole body, white space between its parts
    ///   excepted. A string that is Base64 as a whole is taken for a picture, and counts 1,600 tokens at most: too few for a
    ///   document of several pages. What a URL or an id stands for is not counted: a file, or an earlier response.
    /// * **Output**: `max_tokens`, `max_completion_tokens` or `max_output_tokens`, the largest of these, or in the settings of Gemini
    ///   and Bedrock `maxOutputTokens` and `maxTokens`; `default_output` if there is none. Times `n`, `best_of` or Gemini's
    ///   `candidateCount`, and times the texts in an array `prompt`.
    ///
    /// ```
    /// use ringgate::Usage;
    ///
    /// let body = br#"{"model": "m", "max_tokens": 500, "messages": [{"role": "user", "content": "What is a ring?"}]}"#;
    /// assert_eq!(Usage::estimate_from_json(body, 1_000), Some(Usage::new(31, 500)));
    ///
    /// let body = br#"{"model": "m", "input": "What is a ring?"}"#;
    /// assert_eq!(Usage::estimate_from_json(body, 1_000), Some(Usage::new(13, 1_000)));
    /// assert_eq!(Usage::estimate_from_json(b"What is a ring?", 1_000), None);
    /// ```
    ///
    /// # Errors
    ///
    /// None. A number that is not a whole one from 0 to `u64::MAX` has not been said, and neither has one whose name has escapes in
    /// it. Sums and products stay at `u64::MAX`. It is not checked that the rest is JSON.
    ///
    /// # Cost
    ///
    /// It reads each byte once, those of long Base64 twice, and allocates nothing.
    #[must_use]
    pub fn estimate_from_json(body: &[u8], default_output: u64) -> Option<Self> {
        let mut reader = Reader::default();
        let mut rest = body;
        while let Some((token, after)) = next(rest) {
            if !reader.read(token) {
                return None;
            }
            rest = after;
        }
        reader.is_over.then(|| {
            let answers = reader.answers.unwrap_or(1).max(1).saturating_mul(reader.prompts.max(1));
            let output = reader.bound.unwrap_or(default_output).saturating_mul(answers);
            Self::new(reader.thirds.div_ceil(3), output)
        })
    }

    /// [`estimate_from_json`](Self::estimate_from_json) of a request to this path of a URL. One that is answered without output that
    /// counts expects none by default: embeddings, moderations, and the counting of tokens, of OpenAI, Anthropic and Gemini.
    ///
    /// ```
    /// use ringgate::Usage;
    ///
    /// let body = br#"{"model": "m", "input": "What is a ring?"}"#;
    /// let of = |path| Usage::estimate_from_request(path, body, 1_000);
    /// assert_eq!(of("/v1/responses"), Some(Usage::new(13, 1_000)));
    /// assert_eq!(of("/v1/embeddings"), Some(Usage::new(13, 0)));
    /// ```
    #[must_use]
    pub fn estimate_from_request(path: &str, body: &[u8], default_output: u64) -> Option<Self> {
        let writes = !WITHOUT_OUTPUT.iter().any(|end| path.ends_with(end));
        Self::estimate_from_json(body, if writes { default_output } else { 0 })
    }
}

/// A part of a document.
#[derive(Debug, Clone, Copy)]
enum Token<'a> {
    Open(u8),
    Close,
    Colon,
    Comma,
    /// What stands between the quotes. False if the second one is missing.
    Text(&'a [u8], bool),
    /// A number or a word.
    Word(&'a [u8]),
}

/// The first part, and the bytes after it.
fn next(bytes: &[u8]) -> Option<(Token<'_>, &[u8])> {
    let start = bytes.iter().position(|byte| !is_space(*byte))?;
    let (first, after) = bytes[start..].split_first()?;
    let token = match first {
        b'{' | b'[' => Token::Open(*first),
        b'}' | b']' => Token::Close,
        b':' => Token::Colon,
        b',' => Token::Comma,
        b'"' => {
            let end = text_end(after);
            let rest = after.get(end + 1..);
            return Some((Token::Text(&after[..end], rest.is_some()), rest.unwrap_or_default()));
        }
        _ => {
            let word = &bytes[start..];
            let end = word.iter().position(|byte| is_space(*byte) || b"{}[]:,\"".contains(byte));
            let (word, rest) = word.split_at(end.unwrap_or(word.len()));
            return Some((Token::Word(word), rest));
        }
    };
    Some((token, after))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Where the quote stands that ends a string.
fn text_end(bytes: &[u8]) -> usize {
    let mut is_escaped = false;
    let is_end = |byte: &u8| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    };
    bytes.iter().position(is_end).unwrap_or(bytes.len())
}

/// What has been read so far.
#[derive(Debug, Default)]
struct Reader<'a> {
    /// How many brackets are open.
    depth: u64,
    /// In one of the [`SETTINGS`].
    is_in_settings: bool,
    /// In an array of prompts, and how many have come.
    is_in_prompts: bool,
    prompts: u64,
    is_over: bool,
    /// The last string, and the name whose value comes.
    text: &'a [u8],
    name: &'a [u8],
    thirds: u64,
    bound: Option<u64>,
    answers: Option<u64>,
}

impl<'a> Reader<'a> {
    /// False if this is no object.
    fn read(&mut self, token: Token<'a>) -> bool {
        let begins = matches!(token, Token::Open(b'{'));
        if self.is_over || (self.depth == 0 && !begins) {
            return false;
        }
        // A prompt is a text, or an array of tokens.
        let is_prompt = matches!(token, Token::Open(b'[') | Token::Text(..));
        self.prompts += u64::from(is_prompt && self.is_in_prompts && self.depth == 2);
        let (weight, ends) = match token {
            Token::Open(bracket) => {
                self.is_in_settings |= self.depth == 1 && SETTINGS.contains(&self.name);
                self.is_in_prompts |= self.depth == 1 && bracket == b'[' && self.name == PROMPT;
                self.depth += 1;
                (1, true)
            }
            Token::Close => {
                self.depth -= 1;
                self.is_in_settings &= self.depth > 1;
                self.is_in_prompts &= self.depth > 1;
                self.is_over = self.depth == 0;
                (1, true)
            }
            Token::Colon => {
                self.name = self.text;
                (1, true)
            }
            Token::Comma => (1, true),
            Token::Text(text, ends) => {
                self.text = text;
                // The quotes, too.
                (weight(text).saturating_add(2), ends)
            }
            Token::Word(word) => {
                self.note(word);
                (text_weight(word), true)
            }
        };
        self.thirds = self.thirds.saturating_add(weight);
        ends
    }

    /// Keeps the number of a member that is asked for.
    fn note(&mut self, word: &[u8]) {
        let (is_bound, is_answers) = match self.depth {
            1 => (BOUNDS.contains(&self.name), ANSWERS.contains(&self.name)),
            2 if self.is_in_settings => {
                (INNER_BOUNDS.contains(&self.name), INNER_ANSWERS.contains(&self.name))
            }
            _ => return,
        };
        if !is_bound && !is_answers {
            return;
        }
        let number = core::str::from_utf8(word).ok().and_then(|word| word.parse::<u64>().ok());
        let kept = if is_bound { &mut self.bound } else { &mut self.answers };
        *kept = number.max(*kept);
    }
}

/// What a string counts, in thirds of a token.
fn weight(text: &[u8]) -> u64 {
    let weight = text_weight(text);
    if weight > MOST_BASE64 && is_base64(text) { MOST_BASE64 } else { weight }
}

fn text_weight(text: &[u8]) -> u64 {
    text.iter().map(|byte| thirds(*byte)).sum()
}

/// Whether it is Base64 as a whole: by itself, or in a data URL. Slashes, signs and ends of lines may be escaped.
fn is_base64(text: &[u8]) -> bool {
    let mark = b";base64,";
    let head = text.get(..LONGEST_MARK).filter(|head| head.starts_with(b"data:"));
    let marked = head.and_then(|head| head.windows(mark.len()).position(|part| part == mark));
    let mut digits = text[marked.map_or(0, |at| at + mark.len())..].iter();
    let (mut line, mut has_short_line) = (0_u32, false);
    while let Some(digit) = digits.next() {
        let is_digit = match digit {
            b'\\' => match digits.next() {
                Some(b'r' | b'n') => {
                    has_short_line |= (1..SHORTEST_LINE).contains(&line);
                    line = 0;
                    continue;
                }
                escaped => matches!(escaped, Some(b'/' | b'u')),
            },
            digit => digit.is_ascii_alphanumeric() || b"+/-_=".contains(digit),
        };
        if !is_digit || has_short_line {
            return false;
        }
        line = line.saturating_add(1);
    }
    true
}
