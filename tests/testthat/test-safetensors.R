# Writes safetensors files byte by byte, so that every field can lie.

le <- function(x, size) {
  con <- rawConnection(raw(), "wb")
  on.exit(close(con))
  writeBin(x, con, size = size, endian = "little")
  rawConnectionValue(con)
}

# A whole number as 8 little-endian bytes.
le64 <- function(x) as.raw((x %/% 256^(0:7)) %% 256)

st_file <- function(header, data = raw(), length = nchar(header, "bytes")) {
  path <- tempfile(fileext = ".safetensors")
  if (is.numeric(length)) length <- le64(length)
  writeBin(c(length, if (is.raw(header)) header else charToRaw(header), data), path)
  path
}

entry <- function(dtype, shape, begin, end, name = "a") {
  sprintf('"%s":{"dtype":"%s","shape":[%s],"data_offsets":[%s,%s]}', name, dtype, shape, begin, end)
}

# A file with one tensor "a".
st_one <- function(dtype, shape, data) {
  st_file(sprintf("{%s}", entry(dtype, paste(shape, collapse = ","), 0, length(data))), data)
}

test_that("every type is read exactly", {
  read_one <- function(...) read_safetensors(st_one(...))$a
  real <- c(0, -1.5, pi, 1e300, -1e-310, Inf, -Inf, NaN)
  expect_identical(read_one("F64", 8, le(real, 8)), array(real, 8))
  single <- c(0, -1.5, 2^-149, 3.4028234663852886e38, Inf, NaN)
  expect_identical(read_one("F32", 6, le(single, 4)), array(single, 6))
  half <- as.raw(c(
    0x00, 0x3c, 0x00, 0xc0, 0x00, 0x00, 0x01, 0x00, 0xff, 0x03, 0x00, 0x04, 0xff, 0x7b, 0x00, 0x7c, 0x00, 0xfc, 0x55, 0x35,
    0x01, 0x80
  ))
  expect_identical(
    read_one("F16", 11, half),
    array(c(1, -2, 0, 2^-24, 1023 * 2^-24, 2^-14, 65504, Inf, -Inf, 1365 / 4096, -2^-24), 11)
  )
  expect_identical(1 / read_one("F16", 1, as.raw(c(0, 0x80))), array(-Inf, 1))
  expect_true(is.nan(read_one("F16", 1, as.raw(c(1, 0x7e)))))
  expect_identical(read_one("BF16", 4, as.raw(c(0x80, 0x3f, 0x49, 0x40, 0x80, 0xff, 0, 0))), array(c(1, 3.140625, -Inf, 0), 4))
  expect_identical(read_one("I64", 3, c(le64(2^53), rep(as.raw(255), 8), le64(5))), array(c(2^53, -1, 5), 3))
  whole <- c(.Machine$integer.max, -.Machine$integer.max, -7L)
  expect_identical(read_one("I32", 3, le(whole, 4)), array(as.double(whole), 3))
  expect_identical(read_one("I32", 1, as.raw(c(0, 0, 0, 0x80))), array(-2^31, 1))
  expect_identical(read_one("I16", 2, le(c(-32768L, 32767L), 2)), array(c(-32768, 32767), 2))
  expect_identical(read_one("I8", 2, as.raw(c(0x80, 0x7f))), array(c(-128, 127), 2))
  expect_identical(read_one("U8", 2, as.raw(c(0x80, 0xff))), array(c(128, 255), 2))
  expect_identical(read_one("BOOL", c(2, 2), as.raw(c(0, 1, 1, 1))), rbind(c(FALSE, TRUE), c(TRUE, TRUE)))
})

test_that("all 65536 half precision numbers follow their definition", {
  codes <- 0:65535
  data <- as.raw(rbind(codes %% 256, codes %/% 256))
  sign <- ifelse(codes >= 32768, -1, 1)
  exponent <- (codes %/% 1024) %% 32
  fraction <- codes %% 1024
  want <- sign * ifelse(exponent == 0, fraction * 2^-24, (1024 + fraction) * 2^(exponent - 25))
  special <- exponent == 31
  want[special] <- ifelse(fraction[special] == 0, sign[special] * Inf, NaN)
  expect_identical(as.vector(read_safetensors(st_one("F16", 65536, data))$a), want)
})

test_that("axes keep their meaning for any rank", {
  for (shape in list(5, c(2, 3), c(3, 1, 2), c(2, 3, 4, 2), c(1, 1, 1), c(200, 150))) {
    # In the file the last axis varies fastest.
    values <- array(seq_len(prod(shape)), rev(shape))
    got <- read_safetensors(st_one("I32", shape, le(as.vector(values), 4)))$a
    expect_identical(got, array(as.double(aperm(values)), shape))
  }
  expect_identical(read_safetensors(st_one("F64", NULL, le(2.5, 8)))$a, 2.5)
  expect_identical(read_safetensors(st_one("F64", c(0, 3), raw()))$a, array(0, c(0, 3)))
})

test_that("several tensors come in the file's order, or as asked for", {
  header <- paste0(
    "{", entry("U8", 2, 1, 3, "second"), ",", entry("U8", 1, 0, 1, "first"),
    ',"__metadata__":{"format":"pt","\\u00e9t\\u00e9 \\ud83d\\ude00":"a\\"b\\n"}}   '
  )
  path <- st_file(header, as.raw(c(7, 8, 9)))
  all <- read_safetensors(path)
  metadata <- c(format = "pt", "a\"b\n")
  names(metadata)[2] <- "\u00e9t\u00e9 \U0001F600"
  expect_identical(all, structure(list(first = array(7, 1), second = array(c(8, 9), 2)), metadata = metadata))
  expect_identical(names(read_safetensors(path, c("second", "first"))), c("second", "first"))
  expect_identical(read_safetensors(path, "second")$second, array(c(8, 9), 2))
  expect_length(read_safetensors(path, character()), 0)
})

test_that("an empty file of tensors, unknown fields and odd names are fine", {
  empty <- read_safetensors(st_file("{}"))
  expect_identical(empty, stats::setNames(list(), character()))
  field <- '{"a":{"note":[1,-2.5e-3,{"x":null}],"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
  expect_identical(read_safetensors(st_file(field, as.raw(3))), list(a = array(3, 1)))
  expect_identical(names(read_safetensors(st_file(sprintf("{%s}", entry("U8", 1, 0, 1, "\u4e2d\u6587")), as.raw(3)))), "\u4e2d\u6587")
})

test_that("a damaged or lying file is a classed error", {
  one <- function(...) sprintf("{%s}", entry(...))
  two <- function(a, b) sprintf("{%s,%s}", a, b)
  byte <- as.raw(1)
  nested <- function(n, open, close) {
    sprintf('{"a":{"note":%s1%s,"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', strrep(open, n), strrep(close, n))
  }
  # name = list(what the message says, header, data, length)
  cases <- list(
    "zero bytes" = list("0 bytes", raw(), raw(), raw()),
    "seven bytes" = list("7 bytes", raw(), raw(), raw(7)),
    "no header" = list("does not begin", "", raw()),
    "length beyond the file" = list("claims 999 bytes", one("U8", 1, 0, 1), byte, 999),
    "length of 2^63" = list("claims 9223372036854775808", one("U8", 1, 0, 1), byte, le64(2^63)),
    "length of 2^64 - 1" = list("claims 18446744073709551615", one("U8", 1, 0, 1), byte, rep(as.raw(255), 8)),
    "length too short" = list("not the JSON", one("U8", 1, 0, 1), byte, 10),
    "length one too long" = list("follows the closing bracket", one("U8", 1, 0, 1), byte, nchar(one("U8", 1, 0, 1)) + 1),
    "length big-endian" = list("claims", one("U8", 1, 0, 1), byte, rev(le64(nchar(one("U8", 1, 0, 1))))),
    "leading space" = list("does not begin", paste0(" ", one("U8", 1, 0, 1)), byte),
    "array for an object" = list("does not begin", "[]", raw()),
    "text after the header" = list("follows the closing bracket", paste0(one("U8", 1, 0, 1), "x"), byte),
    "cut header" = list("not the JSON", substr(one("U8", 1, 0, 1), 1, 30), byte),
    "overlap" = list("overlaps", two(entry("U8", 2, 0, 2), entry("U8", 2, 1, 3, "b")), raw(3)),
    "the same bytes twice" = list("overlaps", two(entry("U8", 2, 0, 2), entry("U8", 2, 0, 2, "b")), raw(2)),
    "gap" = list("gap", two(entry("U8", 1, 0, 1), entry("U8", 1, 2, 3, "b")), raw(3)),
    "gap at the start" = list("gap", one("U8", 1, 1, 2), raw(2)),
    "trailing data" = list("1 bytes that belong to no tensor", one("U8", 1, 0, 1), raw(2)),
    "missing data" = list("holds 4 bytes", one("F32", 2, 0, 8), raw(4)),
    "data without tensors" = list("belong to no tensor", "{}", raw(2)),
    "end before begin" = list("ends before", one("U8", 1, 1, 0), byte),
    "offsets do not fit the shape" = list("needs 4 bytes", one("F32", 1, 0, 8), raw(8)),
    "offset of 2^63" = list("2\\^63", one("U8", 1, 0, "9223372036854775808"), byte),
    "offset of 2^63 - 1" = list("its offsets span", one("U8", 1, 0, "9223372036854775807"), byte),
    "negative offset" = list("whole number", one("U8", 1, -1, 0), byte),
    "three offsets" = list("two data_offsets, not 3", one("U8", 1, "0,1", 1), byte),
    "one offset" = list("two data_offsets, not 1", '{"a":{"dtype":"U8","shape":[1],"data_offsets":[1]}}', byte),
    "shape overflows" = list("larger than any file", one("U8", "4294967296,4294967296", 0, 0), raw()),
    "shape overflows in bytes" = list("larger than any file", one("F64", "2305843009213693952", 0, 0), raw()),
    "shape of 2^64" = list("2\\^63", one("U8", "18446744073709551616", 0, 0), raw()),
    "axis beyond R" = list("2\\^31 - 1", one("U8", "0,4294967296", 0, 0), raw()),
    "negative size" = list("whole number", one("U8", -1, 0, 1), byte),
    "fractional size" = list("plain whole number", one("U8", "1.0", 0, 1), byte),
    "exponent in a size" = list("plain whole number", one("U8", "1e0", 0, 1), byte),
    "leading zero" = list("begins with 0", one("U8", "01", 0, 1), byte),
    "text as a size" = list("whole number", one("U8", '"1"', 0, 1), byte),
    "33 axes" = list("more than 32 axes", one("U8", paste(rep(1, 33), collapse = ","), 0, 1), byte),
    "unknown dtype" = list("unknown dtype \"F8\"", one("F8", 1, 0, 1), byte),
    "dtype in small letters" = list("unknown dtype", one("f32", 1, 0, 4), raw(4)),
    "dtype is a number" = list("not the JSON", '{"a":{"dtype":1,"shape":[1],"data_offsets":[0,1]}}', byte),
    "no dtype" = list("lacks its dtype", '{"a":{"shape":[1],"data_offsets":[0,1]}}', byte),
    "no shape" = list("lacks its shape", '{"a":{"dtype":"U8","data_offsets":[0,1]}}', byte),
    "no offsets" = list("lacks its data_offsets", '{"a":{"dtype":"U8","shape":[1]}}', byte),
    "dtype twice" = list("two fields", '{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', byte),
    "duplicate names" = list("two tensors named \"a\"", two(entry("U8", 1, 0, 1), entry("U8", 1, 1, 2)), raw(2)),
    "duplicate names, one escaped" = list("two tensors named \"a\"", two(entry("U8", 1, 0, 1), entry("U8", 1, 1, 2, "\\u0061")), raw(2)),
    "duplicate metadata" = list("two __metadata__", '{"__metadata__":{},"__metadata__":{}}', raw()),
    "duplicate metadata key" = list("two metadata fields", '{"__metadata__":{"k":"1","k":"2"}}', raw()),
    "metadata is not text" = list("not the JSON", '{"__metadata__":{"k":1}}', raw()),
    "tensor is an array" = list("not the JSON", '{"a":[1]}', raw()),
    "a bomb of arrays" = list("nested deeper", nested(1e5, "[", "]"), byte),
    "a bomb of objects" = list("nested deeper", nested(1e5, '{"x":', "}"), byte),
    "NUL in a name" = list("NUL", one("U8", 1, 0, 1, "a\\u0000b"), byte),
    "half a surrogate pair" = list("surrogate", one("U8", 1, 0, 1, "\\ud800"), byte),
    "surrogates reversed" = list("surrogate", one("U8", 1, 0, 1, "\\udc00\\ud800"), byte),
    "unknown escape" = list("unknown escape", one("U8", 1, 0, 1, "\\x41"), byte),
    "cut escape" = list("not of the form", one("U8", 1, 0, 1, "\\u00g0"), byte),
    "control character" = list("control character", one("U8", 1, 0, 1, "a\tb"), byte),
    "not UTF-8" = list("not UTF-8", c(charToRaw('{"'), as.raw(0xff), charToRaw('":{}}')), raw(), 7),
    "overlong UTF-8" = list("not UTF-8", c(charToRaw('{"'), as.raw(c(0xe0, 0x80, 0x80)), charToRaw('":{}}')), raw(), 9),
    "no closing quote" = list("no end", '{"a', raw()),
    "trailing comma" = list("not the JSON", sprintf("{%s,}", entry("U8", 1, 0, 1)), byte),
    "no colon" = list("':' is expected", '{"a"{}}', raw()),
    "broken word" = list("a value is expected", '{"a":{"note":nul}}', raw()),
    "number cut short" = list("incomplete", '{"a":{"note":1.}}', raw()),
    "whole number beyond 2^53" = list("beyond 2\\^53", one("I64", 1, 0, 8), c(as.raw(1), raw(5), as.raw(0x20), raw(1))),
    "smallest 64-bit number" = list("beyond 2\\^53", one("I64", 1, 0, 8), c(raw(7), as.raw(0x80))),
    "truth value of 2" = list("neither 0 nor 1", one("BOOL", 1, 0, 1), as.raw(2))
  )
  for (name in names(cases)) {
    case <- cases[[name]]
    path <- if (length(case) == 4L) st_file(case[[2]], case[[3]], case[[4]]) else st_file(case[[2]], case[[3]])
    error <- tryCatch(read_safetensors(path), error = identity)
    expect_s3_class(error, c("attentive_error_file", "attentive_error", "rlang_error", "error", "condition"), exact = TRUE)
    expect_match(conditionMessage(error), case[[1]], info = name)
  }
})

test_that("any cut and any flipped byte of a good file is read or a classed error", {
  header <- sprintf("{%s,%s}", entry("F32", "2,2", 0, 16), entry("I16", 3, 16, 22, "b"))
  path <- st_file(header, c(le(c(1, 2, 3, 4), 4), le(1:3, 2)))
  good <- readBin(path, "raw", 1e4)
  attempt <- function(bytes) {
    writeBin(bytes, path)
    tryCatch(is.list(read_safetensors(path)), attentive_error_file = function(e) TRUE)
  }
  cuts <- vapply(seq_along(good) - 1L, function(n) attempt(good[seq_len(n)]), NA)
  expect_true(all(cuts))
  flips <- vapply(seq_along(good), function(i) attempt(replace(good, i, xor(good[[i]], as.raw(0x11)))), NA)
  expect_true(all(flips))
})

test_that("wrong arguments are classed errors", {
  path <- st_one("U8", 1, as.raw(1))
  expect_error(read_safetensors(1), class = "attentive_error_argument")
  expect_error(read_safetensors(NULL), class = "attentive_error_argument")
  expect_error(read_safetensors(c(path, path)), class = "attentive_error_argument")
  expect_error(read_safetensors(tempfile()), "does not exist", class = "attentive_error_file")
  expect_error(read_safetensors(tempdir()), "folder", class = "attentive_error_file")
  expect_error(read_safetensors(path, "b"), "no tensor \"b\"", class = "attentive_error_name")
  expect_error(read_safetensors(path, 1), class = "attentive_error_argument")
  expect_error(read_safetensors(path, c("a", "a")), class = "attentive_error_argument")
  expect_error(read_safetensors(path, NA_character_), class = "attentive_error_argument")
  expect_error(read_safetensors(st_file("{}"), "a"), "has none", class = "attentive_error_name")
})
