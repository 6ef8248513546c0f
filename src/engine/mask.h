// Which keys a query may see. One value holds every kind of mask that the
// layers know; every path (textbook, tiled, scores, backward) asks the same
// object, so that none can forget a part of it.
#pragma once

#include "tensor.h"

namespace attentive {

// Letters: B batch, F product of the axes that are not attended over,
// N = B * F elements (n = b * F + f), H heads, T queries, S keys.
// TRUE (a byte other than 0) means "may attend"; all parts are AND-ed.
struct Mask {
  // Dense part, entry (b, f, h, t, s); a stride of 0 broadcasts. Null: all TRUE.
  const std::uint8_t *dense = nullptr;
  Index dense_batch = 0, dense_free = 0, dense_head = 0, dense_query = 0, dense_key = 0;

  const std::uint8_t *query = nullptr; // [N, T] or null: queries that take part
  const std::uint8_t *key = nullptr;   // [N, S] or null: keys that take part

  bool causal = false; // key s is seen by query t if s <= t (top-left aligned)
  Index window = 0;    // 0: none; otherwise |t - s| < window

  Index free = 1;                  // F
  Index queries = 0, keys = 0;     // T, S

  const std::uint8_t *dense_at(Index n, Index h) const {
    return dense + (n / free) * dense_batch + (n % free) * dense_free + h * dense_head;
  }

  bool may_attend(Index n, Index h, Index t, Index s) const {
    if (causal && s > t)
      return false;
    if (window > 0 && (t - s >= window || s - t >= window))
      return false;
    if (query != nullptr && query[n * queries + t] == 0)
      return false;
    if (key != nullptr && key[n * keys + s] == 0)
      return false;
    return dense == nullptr || dense_at(n, h)[t * dense_query + s * dense_key] != 0;
  }

  // Whether query t of head h sees one key and no other.
  bool sees_one_key(Index n, Index h, Index t) const;

  // Tiles of the tiled paths: what a group of queries sees of a range of keys.
  // All of them agree with may_attend.
  enum class View { none, some, all };
  struct KeyRange {
    Index begin, end;
  };

  // The keys that causal and window leave to the queries from first to last
  // (inclusive); no key outside is seen by any of them.
  KeyRange key_range(Index first, Index last) const;

  // Lane l of the group is query queries[l], strictly increasing, at most 32.
  // Bit l of bits[s - begin] tells whether it sees key s, begin <= s < end. With
  // View::all or View::none bits need not have been written.
  View view(Index n, Index h, const Index *queries, int count, Index begin, Index end,
            std::uint32_t *bits) const;

  // The same mask for the elements of the batch from `first` on.
  Mask from(Index first) const {
    Mask part = *this;
    part.dense = dense == nullptr ? nullptr : dense + first * dense_batch;
    part.query = query == nullptr ? nullptr : query + first * free * queries;
    part.key = key == nullptr ? nullptr : key + first * free * keys;
    return part;
  }

  bool any() const {
    return dense != nullptr || query != nullptr || key != nullptr || causal || window > 0;
  }
};

} // namespace attentive
