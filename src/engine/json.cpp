#include "json.h"

#include <cstring>

namespace attentive {

namespace {

void append_utf8(std::string &out, std::uint32_t code) {
  const auto byte = [&out](std::uint32_t b) { out.push_back(static_cast<char>(b)); };
  if (code < 0x80) {
    byte(code);
  } else if (code < 0x800) {
    byte(0xC0 | (code >> 6));
    byte(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    byte(0xE0 | (code >> 12));
    byte(0x80 | ((code >> 6) & 0x3F));
    byte(0x80 | (code & 0x3F));
  } else {
    byte(0xF0 | (code >> 18));
    byte(0x80 | ((code >> 12) & 0x3F));
    byte(0x80 | ((code >> 6) & 0x3F));
    byte(0x80 | (code & 0x3F));
  }
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_surrogate(std::uint32_t code) { return code >= 0xD800 && code <= 0xDFFF; }

} // namespace

void JsonReader::fail(const std::string &what) const {
  throw JsonError(what + " at byte " + std::to_string(at_ - start_ + 1));
}

// The next character that is not white space; NUL at the end.
char JsonReader::peek() {
  while (at_ != end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\n' || *at_ == '\r'))
    ++at_;
  return at_ == end_ ? '\0' : *at_;
}

bool JsonReader::take(char c) {
  if (peek() != c)
    return false;
  ++at_;
  return true;
}

void JsonReader::expect(char c) {
  if (take(c))
    return;
  if (at_ == end_)
    fail(std::string("the text ends where '") + c + "' is expected");
  fail(std::string("'") + c + "' is expected");
}

void JsonReader::enter(char bracket) {
  expect(bracket);
  if (++depth_ > kMaxDepth)
    fail("brackets are nested deeper than " + std::to_string(kMaxDepth));
}

std::string JsonReader::string() {
  expect('"');
  std::string out;
  for (;;) {
    if (at_ == end_)
      fail("a string has no end");
    if (*at_ == '"') {
      ++at_;
      return out;
    }
    const bool escaped = *at_ == '\\';
    const std::uint32_t code = escaped ? escaped_code_point() : raw_code_point();
    if (code == 0)
      fail("a string holds a NUL");
    append_utf8(out, code);
  }
}

unsigned JsonReader::four_hex_digits() {
  if (end_ - at_ < 4)
    fail("a string has no end");
  unsigned value = 0;
  for (int i = 0; i < 4; ++i, ++at_) {
    static const char kDigits[] = "0123456789abcdef0123456789ABCDEF";
    const void *found = std::memchr(kDigits, *at_, 32);
    if (found == nullptr)
      fail("an escape in a string is not of the form \\uXXXX");
    const auto digit = static_cast<const char *>(found) - kDigits;
    value = 16 * value + static_cast<unsigned>(digit % 16);
  }
  return value;
}

std::uint32_t JsonReader::escaped_code_point() {
  ++at_;
  if (at_ == end_)
    fail("a string has no end");
  const char letter = *at_++;
  switch (letter) {
  case '"':
  case '\\':
  case '/':
    return static_cast<std::uint32_t>(letter);
  case 'b':
    return '\b';
  case 'f':
    return '\f';
  case 'n':
    return '\n';
  case 'r':
    return '\r';
  case 't':
    return '\t';
  case 'u':
    break;
  default:
    fail("a string holds an unknown escape");
  }
  const std::uint32_t high = four_hex_digits();
  if (!is_surrogate(high))
    return high;
  if (high >= 0xDC00 || end_ - at_ < 2 || at_[0] != '\\' || at_[1] != 'u')
    fail("a string holds half a surrogate pair");
  at_ += 2;
  const std::uint32_t low = four_hex_digits();
  if (low < 0xDC00 || low > 0xDFFF)
    fail("a string holds half a surrogate pair");
  return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

// Decodes one character of UTF-8; the shortest form only, as the standard asks.
std::uint32_t JsonReader::raw_code_point() {
  const auto lead = static_cast<unsigned char>(*at_);
  if (lead < 0x20)
    fail("a string holds a control character");
  if (lead < 0x80) {
    ++at_;
    return lead;
  }
  const int extra = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
  static const std::uint32_t kSmallest[] = {0, 0x80, 0x800, 0x10000};
  if (lead < 0xC2 || lead > 0xF4 || end_ - at_ <= extra)
    fail("a string is not UTF-8");
  std::uint32_t code = lead & (0x3Fu >> extra);
  for (int i = 1; i <= extra; ++i) {
    const auto byte = static_cast<unsigned char>(at_[i]);
    if ((byte & 0xC0) != 0x80)
      fail("a string is not UTF-8");
    code = (code << 6) | (byte & 0x3Fu);
  }
  if (code < kSmallest[extra] || code > 0x10FFFF || is_surrogate(code))
    fail("a string is not UTF-8");
  at_ += extra + 1;
  return code;
}

std::int64_t JsonReader::natural() {
  if (!is_digit(peek()))
    fail("a whole number of at least 0 is expected");
  if (*at_ == '0' && end_ - at_ > 1 && is_digit(at_[1]))
    fail("a number begins with 0");
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  std::int64_t value = 0;
  for (; at_ != end_ && is_digit(*at_); ++at_) {
    const int digit = *at_ - '0';
    if (value > (kMax - digit) / 10)
      fail("a number is larger than 2^63 - 1");
    value = 10 * value + digit;
  }
  if (at_ != end_ && (*at_ == '.' || *at_ == 'e' || *at_ == 'E'))
    fail("a number is not a plain whole number");
  return value;
}

void JsonReader::skip_number() {
  const auto digits = [this] {
    if (at_ == end_ || !is_digit(*at_))
      fail("a number is incomplete");
    while (at_ != end_ && is_digit(*at_))
      ++at_;
  };
  if (*at_ == '-')
    ++at_;
  digits();
  if (at_ != end_ && *at_ == '.') {
    ++at_;
    digits();
  }
  if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
    ++at_;
    if (at_ != end_ && (*at_ == '+' || *at_ == '-'))
      ++at_;
    digits();
  }
}

void JsonReader::skip_word() {
  for (const char *word : {"true", "false", "null"}) {
    const std::size_t length = std::strlen(word);
    if (static_cast<std::size_t>(end_ - at_) >= length && std::memcmp(at_, word, length) == 0) {
      at_ += length;
      return;
    }
  }
  fail("a value is expected");
}

void JsonReader::skip() {
  const char next = peek();
  if (next == '{')
    object([this](const std::string &) { skip(); });
  else if (next == '[')
    array([this] { skip(); });
  else if (next == '"')
    string();
  else if (next == '-' || is_digit(next))
    skip_number();
  else
    skip_word();
}

void JsonReader::finish() {
  peek();
  if (at_ != end_)
    fail("something follows the closing bracket");
}

} // namespace attentive
