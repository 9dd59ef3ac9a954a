// The k best tokens of every row, and the logsumexp of its logits, as one XLA FFI handler. See topk.py.
//
// A piece of work is some rows and a segment of the vocabulary. Panel after panel of 64 tokens it takes the logits,
// exact sums of 16-bit integer products, adds to the rows' sums of exponentials, and keeps the tokens that may be among
// the k best of what has been seen. What is left of a row is scored in float32, and the k best are decided there. No
// result depends on how the work is split among threads.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#include "exponentials.h"
#include "handler.h"
#include "kept.h"
#include "parallel.h"
#include "product.h"
#include "rescore.h"
#include "vector_math.h"

namespace keytokens {
namespace {

constexpr int64_t kBlocks = 3;  // of rows of a piece: they share one reading of the segment's panels
// Panels of a piece, at most, 2,048 tokens; of segments there are as many for each of two, four or eight threads.
constexpr int64_t kSegment = 32, kThreads = 8;
// Of all rows that are worked on together: as many as these may hold were all logits equal, 256 MiB.
constexpr int64_t kMostCandidates = 1 << 25;
// Errors beyond are taken for those of numbers that are not finite, or whose products may not be.
constexpr float kLargestError = 1e30f;
// Where more tokens and 2 k may be among the best, a row is given up: its logits are all but equal.
constexpr int64_t kMostKept = 4096;

struct Problem {
  const float* x;            // [rows][dim]
  Matrix head;               // with its bias, as many as the panels hold
  const float* bounds;       // [3]: the largest norm of a token's steps, bias, and product with the shift's direction
  const float* along;        // that product, [64 panels], or null without a shift
  const float* coefficient;  // of the shift, [rows]
  Scaling scaling;
  int64_t k;
  bool with_logsumexp;

  int64_t panels() const { return head.size / kPanel; }
  int64_t segments() const { return std::min(panels(), CeilDiv(panels(), kThreads * kSegment) * kThreads); }
  int64_t FirstPanel(int64_t segment) const { return segment * panels() / segments(); }
};

// What a piece leaves of a row.
struct Part {
  std::vector<Candidate> kept;
  Exponentials exponentials;
};

// What is known of a row: a number that k logits reach for certain, which rises, and how far its logits may be from those
// of float32.
struct Row {
  std::atomic<float> threshold{kLowest};
  float error;
};

float Error(const Problem& p, const float* steps, int64_t row) {
  const Cut& cut = p.head.cut;
  double squares = 0;  // of steps so small that float32 has no squares of them
  for (int64_t b = 0; b < cut.blocks; b++) squares += static_cast<double>(steps[b * kRowBlock]) * steps[b * kRowBlock];
  const float rounding = 1.01f * 49152.0f * std::sqrt(static_cast<float>(cut.width));
  const float sums = 0x1p31f * (2 * cut.blocks + cut.dim / 64 + 24) * 0x1p-23f;
  const float shift = p.coefficient ? std::fabs(p.coefficient[row]) : 0.0f;
  // The last: what float32 flushes to zero.
  const float added = p.bounds[1] + shift * p.bounds[2];
  return (rounding + sums) * static_cast<float>(std::sqrt(squares)) * p.bounds[0] + added * 0x1p-21f + 0x1p-100f;
}

// Rows `first` and following, n of them, which stand in `blocks`, and one segment.
void Screen(const Problem& p, const Rounded* blocks, int64_t first, int64_t n, int64_t segment, Row* rows, Part* parts) {
  thread_local Kept kept[kBlocks * kRowBlock];
  float thresholds[kBlocks * kRowBlock];
  int64_t room[kBlocks * kRowBlock];
  for (int64_t row = 0; row < n; row++) {
    thresholds[row] = rows[row].threshold.load(std::memory_order_relaxed);
    room[row] = 2 * p.k + 4 * kPanel;
    kept[row].Clear();
    kept[row].Reserve(room[row] + kPanel);
  }
  alignas(64) float y[kRowBlock][kPanel];
  for (int64_t panel = p.FirstPanel(segment); panel < p.FirstPanel(segment + 1); panel++) {
    for (int64_t row = 0; row < n; row++) {
      const int64_t block = row / kRowBlock, i = row % kRowBlock;
      if (i == 0) MultiplyPanel(blocks[block], std::min(kRowBlock, n - row), p.head, panel, kNone, {y[0], kPanel});
      if (p.along)
        for (int64_t j = 0; j < kPanel; j++) y[i][j] -= p.coefficient[first + row] * p.along[panel * kPanel + j];
      if (p.with_logsumexp) parts[row].exponentials.Add(y[i], p.scaling);
      uint64_t reach = 0;
      for (int j = 0; j < kVectors; j++) {
        const Mask here = GreaterEqual(Load(y[i] + kLanes * j), Set(thresholds[row]));
        reach |= static_cast<uint64_t>(Bits(here)) << (kLanes * j);
      }
      if (__builtin_expect(!reach, 1)) continue;
      for (; reach; reach &= reach - 1) {
        const int j = __builtin_ctzll(reach);
        kept[row].Add({y[i][j], static_cast<int32_t>(panel * kPanel + j)});
      }
      if (kept[row].size() < room[row]) continue;
      kept[row].Prune(p.k, rows[row].error, thresholds[row]);
      room[row] = std::max(room[row], 2 * kept[row].size());
      kept[row].Reserve(room[row] + kPanel);
    }
  }
  for (int64_t row = 0; row < n; row++) {
    kept[row].Prune(p.k, rows[row].error, thresholds[row]);
    parts[row].kept = kept[row].Copy();
    // Another thread may have stored a higher one meanwhile: no harm, each is reached for certain.
    rows[row].threshold.store(thresholds[row], std::memory_order_relaxed);
  }
}

// What may be among the k best of a row, from its parts, which lie `stride` apart; nothing where that is too much.
std::vector<Candidate> Merge(const Problem& p, const Row& row, const Part* parts, int64_t stride) {
  thread_local Kept kept;
  kept.Clear();
  float threshold = row.threshold.load(std::memory_order_relaxed);
  for (int64_t s = 0; s < p.segments(); s++) {
    const Part& part = parts[s * stride];
    kept.Reserve(kept.size() + part.kept.size());
    for (const Candidate& one : part.kept) kept.Add(one);
  }
  kept.Prune(p.k, row.error, threshold);
  std::vector<Candidate> all = kept.Copy();
  const size_t most = kMostKept + 2 * p.k;
  if (all.size() <= most) return all;
  // How many there are depends on the order in which pieces ended. Whether they are too many must not.
  std::vector<float> logits(all.size());
  for (size_t i = 0; i < all.size(); i++) logits[i] = all[i].logit;
  std::nth_element(logits.begin(), logits.begin() + (p.k - 1), logits.end(), std::greater<float>());
  const float exactly = logits[p.k - 1] - 2 * row.error;
  all.erase(std::remove_if(all.begin(), all.end(), [=](const Candidate& one) { return one.logit < exactly; }), all.end());
  return all.size() <= most ? all : std::vector<Candidate>();
}

// Whole numbers whose order is that of the numbers from the largest down.
uint32_t Descending(float number) {
  int32_t bits;
  std::memcpy(&bits, &number, 4);
  return static_cast<uint32_t>(bits < 0 ? bits : ~(bits | INT32_MIN));
}

struct Answer {
  float* values;     // [k]
  int32_t* indices;  // [k]
  float* logsumexp;
};

// From what a row has kept, the logits of that in float32, and its parts; false where there is none.
bool Decide(const Problem& p, const Row& row, const std::vector<Candidate>& kept, const std::vector<float>& logits,
            const Part* parts, int64_t stride, const Answer& answer) {
  thread_local std::vector<uint64_t> order;  // by logit, then by token
  const int64_t size = kept.size();
  bool ok = row.error < kLargestError && size >= p.k;
  order.resize(size);
  for (int64_t i = 0; i < size; i++) {
    ok &= std::isfinite(logits[i]);
    order[i] = static_cast<uint64_t>(Descending(logits[i])) << 32 | i;
  }
  if (!ok) return false;
  std::sort(order.begin(), order.end());
  float largest = kLowest;
  for (int64_t s = 0; s < p.segments(); s++) largest = std::max(largest, parts[s * stride].exponentials.largest());
  double sum = 0;
  for (int64_t s = 0; s < p.segments(); s++) sum += parts[s * stride].exponentials.Sum(largest);
  for (int64_t j = 0; j < p.k; j++) {
    const uint32_t i = static_cast<uint32_t>(order[j]);
    answer.values[j] = logits[i];
    answer.indices[j] = kept[i].token;
    if (!p.with_logsumexp) continue;
    const auto power = [&](float logit) {
      return FirstLane(Exp2(p.scaling(Set(logit)) - Set(largest)));
    };
    sum += power(logits[i]) - power(kept[i].logit);  // the largest terms from float32
  }
  if (!p.with_logsumexp) return true;
  *answer.logsumexp = static_cast<float>((std::log2(sum) + largest) * 0.6931471805599453);
  return std::isfinite(*answer.logsumexp);
}

// n rows, whose answers go where answer(row) says, and whether there is one to ok[row].
template <class T, class F>
void Select(ffi::ThreadPool& pool, const Problem& p, const T* weight, int64_t n, const F& answer, bool* ok) {
  const Split split(n, CeilDiv(n, kBlocks * kRowBlock));
  std::vector<Rounded> blocks(split.pieces * kBlocks);
  std::vector<Row> rows(n);
  std::vector<Part> parts(p.segments() * n);
  Parallel(pool, blocks.size(), [&](int64_t i) {
    const int64_t piece = i / kBlocks, from = split.First(piece) + i % kBlocks * kRowBlock;
    const int64_t size = std::min(kRowBlock, split.First(piece + 1) - from);
    if (size > 0) RoundRows(p.x + from * p.head.cut.dim, size, p.head.cut, blocks[i]);
    for (int64_t row = 0; row < size; row++) rows[from + row].error = Error(p, &blocks[i].steps[row], from + row);
  });
  Parallel(pool, split.pieces * p.segments(), [&](int64_t i) {
    const int64_t piece = i / p.segments(), segment = i % p.segments(), first = split.First(piece);
    Screen(p, &blocks[piece * kBlocks], first, split.Size(piece), segment, &rows[first], &parts[segment * n + first]);
  });
  std::vector<std::vector<Candidate>> kept(n);
  std::vector<std::vector<float>> logits(n);
  Parallel(pool, n, [&](int64_t row) {
    kept[row] = Merge(p, rows[row], &parts[row], n);
    logits[row].resize(kept[row].size());
  });
  Rescore(pool, Pairs(kept, p.head.size), p.x, weight, p.head.cut.dim, [&](const Pair& pair, float logit) {
    logit += p.head.bias[pair.token];
    if (p.along) logit -= p.coefficient[pair.row] * p.along[pair.token];
    logits[pair.row][pair.i] = logit + 0.0f;  // no -0.0
  });
  Parallel(pool, n, [&](int64_t row) {
    const Answer to = answer(row);
    ok[row] = Decide(p, rows[row], kept[row], logits[row], &parts[row], n, to);
    if (ok[row]) return;
    std::fill_n(to.values, p.k, 0.0f);
    std::fill_n(to.indices, p.k, 0);
    *to.logsumexp = 0.0f;
  });
}

ffi::Error TopK(ffi::ThreadPool pool, int64_t k, float scale, float softcap, bool with_logsumexp, F32 x,
                S16 panels, F32 bias, F32 bounds, F32 along, F32 coefficient, ffi::AnyBuffer weight,
                ffi::ResultBuffer<ffi::F32> values, ffi::ResultBuffer<ffi::S32> indices,
                ffi::ResultBuffer<ffi::F32> logsumexp, ffi::ResultBuffer<ffi::PRED> certified) {
  const int64_t num_rows = x.dimensions()[0], dim = x.dimensions()[1], padded = bias.element_count();
  const bool shifted = along.element_count() > 0;
  const int64_t at_once = std::max<int64_t>(1, kMostCandidates / padded / (kBlocks * kRowBlock)) * kBlocks * kRowBlock;
  for (int64_t first = 0; first < num_rows; first += at_once) {
    const Problem p{x.typed_data() + first * dim, {Cut(dim), panels.typed_data(), bias.typed_data(), padded},
                    bounds.typed_data(), shifted ? along.typed_data() : nullptr,
                    shifted ? coefficient.typed_data() + first : nullptr, {scale, softcap}, k, with_logsumexp};
    const auto answer = [&](int64_t row) -> Answer {
      return {values->typed_data() + (first + row) * k, indices->typed_data() + (first + row) * k,
              logsumexp->typed_data() + first + row};
    };
    const auto select = [&](auto* data) {
      Select(pool, p, data, std::min(at_once, num_rows - first), answer, certified->typed_data() + first);
    };
    if (weight.element_type() == ffi::BF16) {
      select(static_cast<const uint16_t*>(weight.untyped_data()));
    } else {
      select(static_cast<const float*>(weight.untyped_data()));
    }
  }
  return ffi::Error::Success();
}

}  // namespace
}  // namespace keytokens

KEYTOKENS_EXPORT XLA_FFI_Error* KeytokensTopK(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    KeytokensTopK, keytokens::TopK,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Attr<int64_t>("k").Attr<float>("scale").Attr<float>("softcap")
        .Attr<bool>("with_logsumexp").Arg<F32>().Arg<S16>().Arg<F32>().Arg<F32>().Arg<F32>()
        .Arg<F32>().Arg<ffi::AnyBuffer>().Ret<F32>().Ret<S32>().Ret<F32>()
        .Ret<ffi::Buffer<ffi::PRED>>());
