// Certified int8 screening and exact rescoring for CPUs, as one XLA FFI handler. See __init__.py for the mathematics.
//
// A panel is 32 tokens: their unsigned bytes lie as [D / 4][32][4], what vpdpbusd reads. First every 16th panel is
// multiplied to guess, for each row, a threshold that a few times k tokens reach. Then all panels are, and every token
// whose upper bound reaches the threshold is kept. Last, what was kept is scored in float32. A row is certified when its
// k-th best score reaches the threshold. Nothing depends on how the work is split among threads.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "parallel.h"
#include "xla/ffi/api/ffi.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ffi = xla::ffi;

namespace {

constexpr int kPanel = 32;
constexpr int kRows = 12;              // rows of a micro tile: 24 accumulators of the 32 registers
constexpr int64_t kRowBlock = 96;      // rows of a piece of work: they share one pass over the segment's panels
constexpr int64_t kSegment = 128;      // panels of a piece of work: 4,096 tokens
constexpr int64_t kPilot = 16;         // one panel in so many is in the pilot
constexpr size_t kMostKept = 16384;    // beyond, thousands of logits are nearly equal, and the row is redone
constexpr float kLowest = std::numeric_limits<float>::lowest();

// Columns of `tokens` [panels][6][32] and of `texts` [B][4].
enum TokenColumn { kStep, kError, kNorm, kBase, kBaseError, kAlong, kTokenColumns };
enum TextColumn { kTextStep, kTextNorm, kTextError, kCoefficient, kTextColumns };

struct Candidate {
  float upper;
  int32_t token;
  bool operator<(const Candidate& other) const { return upper < other.upper; }
};

struct Problem {
  const int8_t* rows;       // [B][D']
  const float* texts;       // [B][kTextColumns]
  const int32_t* row_sums;  // [B], 128 times the sum of the row's bytes
  const uint8_t* panels;    // [panels][D' / 4][32][4]
  const float* tokens;      // [panels][kTokenColumns][32]
  int64_t width, k;
};

// Hands the approximate logits and upper bounds of `num_rows` rows and one panel to sink(row, values, uppers).
template <class Sink>
inline __attribute__((always_inline)) void Bound(const Problem& p, int64_t row, int num_rows, int64_t panel,
                                                 const int32_t (*sums)[kPanel], const Sink& sink) {
  const float* t = p.tokens + panel * kTokenColumns * kPanel;
  for (int i = 0; i < num_rows; i++) {
    const float* x = p.texts + (row + i) * kTextColumns;
    const float step = x[kTextStep], norm = x[kTextNorm], error = x[kTextError], coefficient = x[kCoefficient];
    const float moved_error = std::fabs(coefficient) * 0x1p-20f;
    float values[kPanel], uppers[kPanel];
    for (int j = 0; j < kPanel; j++) {
      const float along = t[kAlong * kPanel + j];
      values[j] = static_cast<float>(sums[i][j]) * (step * t[kStep * kPanel + j]) + t[kBase * kPanel + j] -
                  coefficient * along;
      uppers[j] = values[j] + (norm * t[kError * kPanel + j] + error * t[kNorm * kPanel + j] +
                               t[kBaseError * kPanel + j] + moved_error * std::fabs(along));
    }
    sink(row + i, values, uppers);
  }
}

template <class Sink>
void MultiplyPlain(const Problem& p, int64_t row, int64_t end, int64_t panel, const Sink& sink) {
  const uint8_t* bytes = p.panels + panel * p.width * kPanel;
  for (; row < end; row++) {
    int32_t sums[1][kPanel];
    for (int j = 0; j < kPanel; j++) sums[0][j] = -p.row_sums[row];
    const int8_t* x = p.rows + row * p.width;
    for (int64_t d = 0; d < p.width; d += 4, x += 4)
      for (int j = 0; j < kPanel; j++)
        for (int q = 0; q < 4; q++) sums[0][j] += x[q] * bytes[d * kPanel + j * 4 + q];
    Bound(p, row, 1, panel, sums, sink);
  }
}

#if defined(__x86_64__)
#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")))
template <int M, class Sink>
VNNI void MultiplyTile(const Problem& p, int64_t row, int64_t panel, const Sink& sink) {
  __m512i acc[M][2];
#pragma GCC unroll 12
  for (int i = 0; i < M; i++) acc[i][0] = acc[i][1] = _mm512_set1_epi32(-p.row_sums[row + i]);
  const uint8_t* bytes = p.panels + panel * p.width * kPanel;
  const int8_t* x = p.rows + row * p.width;
  for (int64_t d = 0; d < p.width; d += 4, bytes += 128) {
    const __m512i b0 = _mm512_loadu_si512(bytes), b1 = _mm512_loadu_si512(bytes + 64);
    __builtin_prefetch(bytes + 2048);
    __builtin_prefetch(bytes + 2112);
#pragma GCC unroll 12
    for (int i = 0; i < M; i++) {
      int32_t four;
      std::memcpy(&four, x + i * p.width + d, 4);
      const __m512i a = _mm512_set1_epi32(four);
      acc[i][0] = _mm512_dpbusd_epi32(acc[i][0], b0, a);
      acc[i][1] = _mm512_dpbusd_epi32(acc[i][1], b1, a);
    }
  }
  int32_t sums[M][kPanel];
#pragma GCC unroll 12
  for (int i = 0; i < M; i++) {
    _mm512_storeu_si512(sums[i], acc[i][0]);
    _mm512_storeu_si512(sums[i] + 16, acc[i][1]);
  }
  Bound(p, row, M, panel, sums, sink);
}
template <class Sink>
VNNI void MultiplyVnni(const Problem& p, int64_t row, int64_t end, int64_t panel, const Sink& sink) {
  for (; row + kRows <= end; row += kRows) MultiplyTile<kRows>(p, row, panel, sink);
  for (; row + 4 <= end; row += 4) MultiplyTile<4>(p, row, panel, sink);
  for (; row < end; row++) MultiplyTile<1>(p, row, panel, sink);
}
bool HasVnni() { return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512dq"); }
__attribute__((target_clones("avx512f", "avx2,fma", "default")))
#else
bool HasVnni() { return false; }
#endif
float Dot(const float* a, const float* b, int64_t n) {  // 64 partial sums: one order of summation, whatever the CPU
  float sums[64] = {};
  int64_t d = 0;
  for (; d + 64 <= n; d += 64)
    for (int j = 0; j < 64; j++) sums[j] += a[d + j] * b[d + j];
  for (; d < n; d++) sums[d % 64] += a[d] * b[d];
  for (int half = 32; half > 0; half /= 2)
    for (int j = 0; j < half; j++) sums[j] += sums[j + half];
  return sums[0];
}

ffi::Error Screen(ffi::ThreadPool pool, int64_t k, bool portable, ffi::Buffer<ffi::S8> rows,
                  ffi::Buffer<ffi::F32> texts, ffi::Buffer<ffi::S32> row_sums, ffi::Buffer<ffi::U8> panels,
                  ffi::Buffer<ffi::F32> tokens, ffi::Buffer<ffi::F32> hidden, ffi::Buffer<ffi::F32> head,
                  ffi::ResultBuffer<ffi::F32> values, ffi::ResultBuffer<ffi::S32> indices,
                  ffi::ResultBuffer<ffi::PRED> certified) {
  const Problem p{rows.typed_data(), texts.typed_data(), row_sums.typed_data(), panels.typed_data(),
                  tokens.typed_data(), rows.dimensions()[1], k};
  const int64_t num_rows = rows.dimensions()[0], num_panels = tokens.dimensions()[0], dim = hidden.dimensions()[1];
  const int64_t blocks = (num_rows + kRowBlock - 1) / kRowBlock, segments = (num_panels + kSegment - 1) / kSegment;
  const bool vnni = HasVnni() && !portable;
  auto multiply = [&](int64_t row, int64_t end, int64_t panel, const auto& sink) {
#if defined(__x86_64__)
    if (vnni) return MultiplyVnni(p, row, end, panel, sink);
#endif
    MultiplyPlain(p, row, end, panel, sink);
  };

  // Of the k best tokens k / 16 are expected in the pilot; six standard deviations more are hardly ever.
  const double expected = static_cast<double>(k) / kPilot;
  const size_t rank = static_cast<size_t>(expected + 6 * std::sqrt(expected) + 4);
  std::vector<float> thresholds(num_rows, kLowest);
  keytokens::Parallel(pool, blocks, [&](int64_t block) {
    const int64_t first = block * kRowBlock, end = std::min(num_rows, first + kRowBlock);
    std::vector<std::vector<float>> seen(end - first);
    for (int64_t panel = kPilot / 2; panel < num_panels; panel += kPilot)
      multiply(first, end, panel, [&](int64_t row, const float* values, const float*) {
        for (int j = 0; j < kPanel; j++)
          if (std::isfinite(values[j])) seen[row - first].push_back(values[j]);
      });
    for (int64_t row = first; row < end; row++) {
      std::vector<float>& all = seen[row - first];
      if (all.size() <= rank) continue;
      std::nth_element(all.begin(), all.begin() + rank, all.end(), std::greater<float>());
      thresholds[row] = all[rank];
    }
  });

  std::vector<std::vector<Candidate>> kept(segments * num_rows);
  keytokens::Parallel(pool, blocks * segments, [&](int64_t piece) {
    const int64_t segment = piece % segments, first = piece / segments * kRowBlock;
    const int64_t end = std::min(num_rows, first + kRowBlock);
    for (int64_t panel = segment * kSegment; panel < std::min(num_panels, (segment + 1) * kSegment); panel++)
      multiply(first, end, panel, [&](int64_t row, const float*, const float* uppers) {
        const float threshold = thresholds[row];
        int any = 0;
        for (int j = 0; j < kPanel; j++) any |= !(uppers[j] < threshold);  // true for NaN
        if (__builtin_expect(!any, 1)) return;
        std::vector<Candidate>& all = kept[segment * num_rows + row];
        for (int j = 0; j < kPanel && all.size() <= kMostKept; j++)
          if (!(uppers[j] < threshold)) all.push_back({uppers[j], static_cast<int32_t>(panel * kPanel + j)});
      });
  });

  keytokens::Parallel(pool, num_rows, [&](int64_t row) {
    std::vector<Candidate> all;
    bool ok = true;
    for (int64_t segment = 0; segment < segments; segment++)
      for (const Candidate& c : kept[segment * num_rows + row]) {
        ok &= std::isfinite(c.upper);
        all.push_back(c);
      }
    ok &= all.size() <= kMostKept && static_cast<int64_t>(all.size()) >= k;
    using Scored = std::pair<float, int32_t>;
    auto better = [](const Scored& a, const Scored& b) {
      return a.first > b.first || (a.first == b.first && a.second < b.second);
    };
    std::vector<Scored> best;  // a heap whose front is the worst of the k best so far
    if (ok) {
      const float coefficient = p.texts[row * kTextColumns + kCoefficient];
      std::make_heap(all.begin(), all.end());
      for (; !all.empty(); all.pop_back()) {
        const bool full = static_cast<int64_t>(best.size()) == k;
        if (full && all.front().upper < best.front().first) break;
        const int64_t token = all.front().token;
        std::pop_heap(all.begin(), all.end());
        __builtin_prefetch(head.typed_data() + all.front().token * dim);
        const float* t = p.tokens + (token / kPanel) * kTokenColumns * kPanel + token % kPanel;
        const float product = Dot(hidden.typed_data() + row * dim, head.typed_data() + token * dim, dim);
        const Scored scored(product + t[kBase * kPanel] - coefficient * t[kAlong * kPanel], token);
        ok &= std::isfinite(scored.first);
        if (full && !better(scored, best.front())) continue;
        if (full) { std::pop_heap(best.begin(), best.end(), better); best.pop_back(); }
        best.push_back(scored);
        std::push_heap(best.begin(), best.end(), better);
      }
      ok &= best.front().first >= thresholds[row];
      std::sort(best.begin(), best.end(), better);
    }
    certified->typed_data()[row] = ok;
    for (int64_t j = 0; j < k; j++) {
      values->typed_data()[row * k + j] = ok ? best[j].first : 0.0f;
      indices->typed_data()[row * k + j] = ok ? best[j].second : 0;
    }
  });
  return ffi::Error::Success();
}

}  // namespace

#define KEYTOKENS_PUBLIC extern "C" __attribute__((visibility("default")))
using F32 = ffi::Buffer<ffi::F32>;
KEYTOKENS_PUBLIC XLA_FFI_Error* KeytokensScreen(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    KeytokensScreen, Screen,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Attr<int64_t>("k").Attr<bool>("portable").Arg<ffi::Buffer<ffi::S8>>()
        .Arg<F32>().Arg<ffi::Buffer<ffi::S32>>().Arg<ffi::Buffer<ffi::U8>>().Arg<F32>().Arg<F32>().Arg<F32>()
        .Ret<F32>().Ret<ffi::Buffer<ffi::S32>>().Ret<ffi::Buffer<ffi::PRED>>());

// 1 where the handler multiplies bytes by vpdpbusd, 0 where by plain C++.
KEYTOKENS_PUBLIC int KeytokensHasVnni() { return HasVnni(); }
