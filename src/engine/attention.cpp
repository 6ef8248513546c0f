// The tiled core: softmax attention without the T x S scores (online softmax:
// Milakov & Gimelshein 2018; tiles: Dao et al. 2022).
//
// For each query the scores of a tile of keys become p = exp2(score - m); their
// sum and p v are accumulated. m is any number near the largest score: it is
// the maximum of the first few keys that the query sees, and is raised only
// where a tile shows it to be far too small.
#include "attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "attention_tiles.h"
#include "dropout.h"

namespace attentive {

namespace {

// A tile whose sum of exp2(score - m) passes this is redone with a larger m.
constexpr double kSumLimit = 16777216; // 2^24

// What one thread works in; its size does not grow with T, S, B or H.
template <class T> struct Scratch {
  Buffer<T> memory;
  T *q, *o, *offset, *total; // [groups, K or V or nothing, L]
  T *p;                      // [keys, L]
  T *sums, *max;             // [L]
  T *k = nullptr, *v = nullptr;

  Scratch(const AttentionShape &shape, const AttentionGrid &grid) {
    const Index lanes = grid.lanes, block = grid.block_queries();
    const Index keys = std::min<Index>(kTileKeys, shape.keys);
    const Index packed = grid.packs ? keys : 0;
    const Index sizes[] = {
        block * shape.key_size,  block * shape.value_size, block, block, keys * lanes, lanes, lanes,
        packed * shape.key_size, packed * shape.value_size};
    T **const parts[] = {&q, &o, &offset, &total, &p, &sums, &max, &k, &v};
    Index size = 0;
    for (Index part : sizes)
      size += aligned(part);
    memory = Buffer<T>(size);
    T *at = memory.data();
    for (int i = 0; i < 9; ++i) {
      *parts[i] = at;
      at += aligned(sizes[i]);
    }
  }

  // Rounded up to whole cache lines.
  static Index aligned(Index size) {
    constexpr Index kLine = 64 / sizeof(T);
    return (size + kLine - 1) / kLine * kLine;
  }
};

template <class T> struct ForwardCall {
  const AttentionShape &shape;
  HeadView<const T> q, k, v;
  const AttentionOptions &options;
  HeadView<T> out;
  T *lse;
  const AttentionKernels<T> &kernels;
  AttentionGrid grid;
  DropoutMask dropout;
};

// A block of queries of one head: those that take part, in groups of lanes.
template <class T> class ForwardBlock {
public:
  ForwardBlock(const ForwardCall<T> &call, Scratch<T> &scratch, Index n, Index h, Index block)
      : call_(call), s_(scratch), kernels_(call.kernels), n_(n), h_(h),
        kv_head_(h / (call.shape.heads / call.shape.groups)), dropout_(call.dropout.head(n, h)) {
    gather(block);
  }

  void run() {
    if (count_ == 0)
      return;
    attend();
    if (!finish()) {
      // Something is not finite, maybe only behind the mask or on the way.
      careful_ = true;
      attend();
      finish();
    }
  }

private:
  const ForwardCall<T> &call_;
  Scratch<T> &s_;
  const AttentionKernels<T> &kernels_;
  const Index n_, h_, kv_head_;
  const DropoutHead dropout_;
  bool careful_ = false;
  int count_ = 0, groups_ = 0;
  Index queries_[kMaxBlockQueries];
  std::uint32_t seen_[kMaxBlockQueries]; // of each group: lanes that saw a key
  std::uint32_t kept_[kTileKeys];        // of each key of a tile: lanes that dropout keeps
  TileView view_;

  int lanes() const { return call_.grid.lanes; }
  int group_count(int g) const { return std::min(lanes(), count_ - g * lanes()); }

  // Queries that take part; the others see nothing.
  void gather(Index block) {
    const Index first = block * call_.grid.block_queries();
    const Index last = std::min(first + call_.grid.block_queries(), call_.shape.queries);
    const std::uint8_t *mask = call_.options.mask.query;
    if (mask != nullptr)
      mask += n_ * call_.shape.queries;
    for (Index t = first; t < last; ++t) {
      if (mask == nullptr || mask[t] != 0)
        queries_[count_++] = t;
      else
        write_unseen(t);
    }
    groups_ = (count_ + lanes() - 1) / lanes();
  }

  void write_unseen(Index t) {
    std::fill_n(call_.out.row(n_, t, h_), call_.shape.value_size, T(0));
    write_lse(t, -std::numeric_limits<T>::infinity());
  }

  void write_lse(Index t, T value) {
    if (call_.lse != nullptr)
      call_.lse[(n_ * call_.shape.heads + h_) * call_.shape.queries + t] = value;
  }

  void attend() {
    const AttentionShape &shape = call_.shape;
    begin();
    const Mask::KeyRange range = call_.options.mask.key_range(queries_[0], queries_[count_ - 1]);
    for (Index first = range.begin; first < range.end; first += kTileKeys) {
      const Index last = std::min<Index>(first + kTileKeys, range.end);
      AttentionTile<T> tile;
      tile.key_size = shape.key_size;
      tile.value_size = shape.value_size;
      tile.p = s_.p;
      tile.sums = s_.sums;
      int busy = 0; // groups that see keys of this tile, so far
      for (int g = 0; g < groups_; ++g) {
        view_.look(call_.options.mask, n_, h_, queries_ + g * lanes(), group_count(g),
                   kernels_.lanes, first, last);
        if (view_.view == Mask::View::none)
          continue;
        if (busy == 0)
          load_keys(first, last, tile);
        announce(busy++, last, range.end, tile);
        tile.kept = keep(g, first, last);
        attend_group(g, static_cast<int>(last - first), tile);
      }
    }
  }

  // Nothing seen yet.
  void begin() {
    const AttentionShape &shape = call_.shape;
    const T scale = static_cast<T>(call_.options.scale * kLog2E);
    for (int g = 0; g < groups_; ++g) {
      const T *rows[kMaxGroup];
      for (int lane = 0; lane < group_count(g); ++lane)
        rows[lane] = call_.q.row(n_, queries_[g * lanes() + lane], h_);
      kernels_.pack_rows(rows, group_count(g), shape.key_size, scale,
                         s_.q + g * lanes() * shape.key_size);
      seen_[g] = 0;
    }
    std::fill_n(s_.o, groups_ * lanes() * shape.value_size, T(0));
    std::fill_n(s_.offset, groups_ * lanes(), T(0));
    std::fill_n(s_.total, groups_ * lanes(), T(0));
  }

  void load_keys(Index first, Index last, AttentionTile<T> &tile) {
    tile.k = call_.k.row(n_, first, kv_head_);
    tile.v = call_.v.row(n_, first, kv_head_);
    tile.k_stride = call_.k.token_stride;
    tile.v_stride = call_.v.token_stride;
    if (!call_.grid.packs)
      return;
    for (Index s = 0; s < last - first; ++s) {
      std::copy_n(tile.k + s * tile.k_stride, tile.key_size, s_.k + s * tile.key_size);
      std::copy_n(tile.v + s * tile.v_stride, tile.value_size, s_.v + s * tile.value_size);
    }
    tile.k = s_.k;
    tile.v = s_.v;
    tile.k_stride = tile.key_size;
    tile.v_stride = tile.value_size;
  }

  // While the i-th busy group works on this tile, line i of each row of the next
  // one is fetched. Only where tiles are copied: else rows are read once per group.
  void announce(int i, Index first, Index end, AttentionTile<T> &tile) const {
    constexpr Index kLine = 64 / sizeof(T);
    const bool full = call_.grid.packs && first + kTileKeys <= end;
    const Index at = i * kLine;
    tile.next_k = full && at < tile.key_size ? call_.k.row(n_, first, kv_head_) + at : nullptr;
    tile.next_v = full && at < tile.value_size ? call_.v.row(n_, first, kv_head_) + at : nullptr;
    tile.next_k_stride = call_.k.token_stride;
    tile.next_v_stride = call_.v.token_stride;
  }

  // What dropout keeps of group g and the keys [first, last); null: everything.
  const std::uint32_t *keep(int g, Index first, Index last) {
    if (call_.dropout.drops_none())
      return nullptr;
    std::uint32_t queries[kMaxGroup] = {};
    for (int lane = 0; lane < group_count(g); ++lane)
      queries[lane] = static_cast<std::uint32_t>(queries_[g * lanes() + lane]);
    attentive::kernels<T>().dropout.keep_bits(dropout_, queries, lanes(), first, last, kept_);
    return kept_;
  }

  void attend_group(int g, int keys, AttentionTile<T> &tile) {
    const Index at = Index(g) * lanes();
    T *const offset = s_.offset + at, *const total = s_.total + at;
    tile.q = s_.q + at * tile.key_size;
    tile.o = s_.o + at * tile.value_size;
    tile.offset = offset;
    tile.bits = view_.bits_or_null();
    for (int vector = 0; vector < 2; ++vector) {
      tile.begin[vector] = view_.begin[vector];
      tile.end[vector] = view_.end[vector];
    }
    hold_maximum(view_.seen & ~seen_[g], keys, tile, offset);
    seen_[g] |= view_.seen;
    if (!kernels_.exp_scores(tile, static_cast<T>(kSumLimit))) {
      raise(tile, offset, total);
      kernels_.exp_scores(tile, static_cast<T>(kSumLimit));
    }
    for (int lane = 0; lane < lanes(); ++lane)
      total[lane] += tile.sums[lane];
    if (call_.dropout.drops_all())
      return; // plain zeros, whatever the values are
    if (careful_)
      kernels_.add_seen_values(tile);
    else
      kernels_.add_values(tile);
  }

  void raise(const AttentionTile<T> &tile, T *offset, T *total) {
    kernels_.max_scores(tile, s_.max);
    kernels_.raise_maximum(s_.max, offset, total, tile.o, tile.value_size);
  }

  // For lanes that see a key for the first time: the maximum over a few keys,
  // the same ones for all of them where there are such (a window moves on with
  // the lane).
  void hold_maximum(std::uint32_t fresh, int keys, AttentionTile<T> tile, T *offset) {
    constexpr T kLargest = std::numeric_limits<T>::max();
    int start = 0;
    while (tile.bits != nullptr && start < keys && (tile.bits[start] & fresh) != fresh)
      ++start;
    for (int first = start < keys ? start : 0; first < keys && fresh != 0; first += kernels_.rows) {
      const int last = std::min(first + kernels_.rows, keys);
      std::uint32_t covered = tile.bits == nullptr ? fresh : 0;
      for (int s = first; tile.bits != nullptr && s < last; ++s)
        covered |= tile.bits[s] & fresh;
      if (covered == 0)
        continue;
      fresh &= ~covered;
      for (int vector = 0; vector < 2; ++vector) {
        tile.begin[vector] = std::max(first, view_.begin[vector]);
        tile.end[vector] = std::max(tile.begin[vector], std::min(last, view_.end[vector]));
      }
      kernels_.max_scores(tile, s_.max);
      for (int lane = 0; lane < lanes(); ++lane)
        if ((covered >> lane & 1u) != 0)
          offset[lane] = -std::min(kLargest, std::max(-kLargest, s_.max[lane]));
    }
  }

  // log2 of total * 2^-offset, rounded once. NaN where scores overflowed, as in the
  // textbook, whose Inf - Inf is NaN.
  static T log_sum(T total, T offset) {
    if (!(total > 0 && total <= std::numeric_limits<T>::max()))
      return std::numeric_limits<T>::quiet_NaN();
    return static_cast<T>(std::log2(double(total)) - double(offset));
  }

  // Outputs and log-sum-exps; false if an output is not finite.
  bool finish() {
    const Index size = call_.shape.value_size;
    const T kept_scale = call_.dropout.drops_all() ? T(1) : static_cast<T>(call_.dropout.scale());
    bool finite = true;
    for (int g = 0; g < groups_; ++g) {
      const Index at = Index(g) * lanes();
      T factor[kMaxGroup], *rows[kMaxGroup];
      for (int lane = 0; lane < lanes(); ++lane) {
        const bool seen = lane < group_count(g) && (seen_[g] >> lane & 1u) != 0;
        factor[lane] = seen ? kept_scale / s_.total[at + lane] : T(0);
        if (lane >= group_count(g))
          continue;
        const Index t = queries_[at + lane];
        rows[lane] = call_.out.row(n_, t, h_);
        if (call_.lse != nullptr)
          write_lse(t, seen ? log_sum(s_.total[at + lane], s_.offset[at + lane])
                            : -std::numeric_limits<T>::infinity());
      }
      finite &= kernels_.unpack_rows(s_.o + at * size, factor, size, group_count(g), rows);
    }
    return finite;
  }
};

inline void check(const AttentionShape &shape) {
  if (shape.groups <= 0 || shape.heads % shape.groups != 0)
    throw std::invalid_argument("heads must be a multiple of groups");
}

} // namespace

template <class T>
void attention_forward(const AttentionShape &shape, HeadView<const T> q, HeadView<const T> k,
                       HeadView<const T> v, const AttentionOptions &options, HeadView<T> out,
                       T *lse, const Execution &execution) {
  check(shape);
  const AttentionKernels<T> &table = kernels<T>().attention;
  const ForwardCall<T> call{shape,
                            q,
                            k,
                            v,
                            options,
                            out,
                            lse,
                            table,
                            AttentionGrid::of(shape, table),
                            DropoutMask(options.dropout, shape)};
  const Index blocks = call.grid.blocks;
  const Index tasks = checked_product({shape.elements(), shape.heads, blocks});
  const Execution limited = worthwhile(
      execution, tasks,
      static_cast<double>(tasks) * static_cast<double>(call.grid.block_queries()) *
          static_cast<double>(shape.keys) * static_cast<double>(shape.key_size + shape.value_size));

  std::vector<Scratch<T>> scratch;
  scratch.reserve(static_cast<std::size_t>(limited.threads));
  for (int i = 0; i < limited.threads; ++i)
    scratch.emplace_back(shape, call.grid);
  // Under a causal mask the last blocks cost most: they go first. Blocks of a
  // window share few keys, but the tokens that all heads read.
  const bool causal = options.mask.causal, by_block = causal || options.mask.window > 0;
  parallel_for(tasks, limited, [&](Index task, int worker) {
    const Index place = by_block ? task / (tasks / blocks) : task % blocks;
    const Index head = by_block ? task % (tasks / blocks) : task / blocks;
    const Index block = causal ? blocks - 1 - place : place;
    ForwardBlock<T>(call, scratch[worker], head / shape.heads, head % shape.heads, block).run();
  });
}

template void attention_forward<float>(const AttentionShape &, HeadView<const float>,
                                       HeadView<const float>, HeadView<const float>,
                                       const AttentionOptions &, HeadView<float>, float *,
                                       const Execution &);
template void attention_forward<double>(const AttentionShape &, HeadView<const double>,
                                        HeadView<const double>, HeadView<const double>,
                                        const AttentionOptions &, HeadView<double>, double *,
                                        const Execution &);

} // namespace attentive
