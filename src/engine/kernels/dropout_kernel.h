// Philox4x32-10 in vectors: each 64-bit lane holds one 32-bit word of a counter
// in its lower half (the upper half is whatever, the product ignores it), even
// and odd queries in vectors of their own.

// What does not depend on the query: the keys of the rounds.
struct PhiloxSchedule {
  std::uint32_t key[10][2];
};

ATTENTIVE_INLINE PhiloxSchedule philox_schedule(const DropoutHead &head) {
  PhiloxSchedule schedule;
  for (std::uint32_t round = 0; round < 10; ++round) {
    schedule.key[round][0] = head.key[0] + round * 0x9E3779B9u;
    schedule.key[round][1] = head.key[1] + round * 0xBB67AE85u;
  }
  return schedule;
}

// The words of the blocks for kN vectors of queries and the 8 keys of
// `key_block`. Only the second word of the counter differs between queries, so
// that half of the first three rounds is the same number for all.
template <class W, int kN>
ATTENTIVE_INLINE void philox_words(const PhiloxSchedule &schedule, const DropoutHead &head,
                                   std::uint32_t key_block, const typename W::V (&query)[kN],
                                   typename W::V (&word)[4][kN]) {
  using V = typename W::V;
  constexpr std::uint64_t kM0 = 0xD2511F53u, kM1 = 0xCD9E8D57u;
  const std::uint64_t a0 = kM0 * key_block, a1 = kM1 * head.row[0];
  const std::uint32_t y2 = static_cast<std::uint32_t>(a0 >> 32) ^ head.row[1] ^ schedule.key[0][1];
  const std::uint64_t b1 = kM1 * y2;
  const std::uint32_t z0 =
      static_cast<std::uint32_t>(b1 >> 32) ^ static_cast<std::uint32_t>(a1) ^ schedule.key[1][0];
  const std::uint64_t c0 = kM0 * z0;
  const V m0 = W::set(kM0), m1 = W::set(kM1);
  ATTENTIVE_UNROLL
  for (int n = 0; n < kN; ++n) {
    const V y0 = W::exclusive_or(query[n],
                                 W::set(static_cast<std::uint32_t>(a1 >> 32) ^ schedule.key[0][0]));
    const V b0 = W::product(m0, y0);
    const V z2 =
        W::exclusive_or(W::high(b0), W::set(static_cast<std::uint32_t>(a0) ^ schedule.key[1][1]));
    const V c1 = W::product(m1, z2);
    word[0][n] =
        W::exclusive_or(W::high(c1), W::set(static_cast<std::uint32_t>(b1) ^ schedule.key[2][0]));
    word[1][n] = c1;
    word[2][n] =
        W::exclusive_or(b0, W::set(static_cast<std::uint32_t>(c0 >> 32) ^ schedule.key[2][1]));
    word[3][n] = W::set(static_cast<std::uint32_t>(c0));
  }
  for (int round = 3; round < 10; ++round) {
    const V k0 = W::set(schedule.key[round][0]), k1 = W::set(schedule.key[round][1]);
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n) {
      const V p0 = W::product(m0, word[0][n]), p1 = W::product(m1, word[2][n]);
      word[0][n] = W::exclusive_or(W::high(p1), word[1][n], k0);
      word[2][n] = W::exclusive_or(W::high(p0), word[3][n], k1);
      word[1][n] = p1;
      word[3][n] = p0;
    }
  }
}

// bits[j] gets the decisions for key 8 * key_block + j in the lanes from `lane`
// on, kPairs * W::kLanes of them.
template <class W, int kPairs>
ATTENTIVE_INLINE void keep_bits_of_block(const PhiloxSchedule &schedule, const DropoutHead &head,
                                         std::uint32_t key_block, const std::uint32_t *queries,
                                         int lane, std::uint32_t *bits) {
  using V = typename W::V;
  V query[2 * kPairs], word[4][2 * kPairs];
  ATTENTIVE_UNROLL
  for (int n = 0; n < kPairs; ++n) {
    query[2 * n] = W::load(queries + lane + n * W::kLanes);
    query[2 * n + 1] = W::high(query[2 * n]);
  }
  philox_words<W, 2 * kPairs>(schedule, head, key_block, query, word);
  ATTENTIVE_UNROLL
  for (int j = 0; j < 4; ++j) {
    ATTENTIVE_UNROLL
    for (int n = 0; n < kPairs; ++n) {
      const V both = W::interleave(word[j][2 * n], word[j][2 * n + 1]);
      std::uint32_t low, high;
      W::halves_at_least(both, head.threshold, low, high);
      bits[2 * j] |= low << (lane + n * W::kLanes);
      bits[2 * j + 1] |= high << (lane + n * W::kLanes);
    }
  }
}

template <class W>
void keep_bits(const DropoutHead &head, const std::uint32_t *queries, int lanes, Index first,
               Index last, std::uint32_t *bits) {
  const Index size = last - first;
  if (head.threshold > 0xffffu) { // would not fit into 16 bits
    for (Index i = 0; i < size; ++i)
      bits[i] = 0;
    return;
  }
  const PhiloxSchedule schedule = philox_schedule(head);
  for (Index s = first / 8 * 8; s < last; s += 8) {
    std::uint32_t block[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    const auto key_block = static_cast<std::uint32_t>(s / 8);
    int lane = 0;
    for (; lane + (W::kPairs - 1) * W::kLanes < lanes; lane += W::kPairs * W::kLanes)
      keep_bits_of_block<W, W::kPairs>(schedule, head, key_block, queries, lane, block);
    for (; lane < lanes; lane += W::kLanes)
      keep_bits_of_block<W, 1>(schedule, head, key_block, queries, lane, block);
    for (Index j = s < first ? first - s : 0; j < 8 && s + j < last; ++j)
      bits[s + j - first] = block[j];
  }
}

ATTENTIVE_INLINE DropoutKernels dropout_kernels() {
  DropoutKernels table;
  table.keep_bits = keep_bits<VecWords>;
  return table;
}
