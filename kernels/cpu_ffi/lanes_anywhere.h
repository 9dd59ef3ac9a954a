// See lanes.h: for any machine, in vectors of the width that the compiler is told it has.

#ifndef KEYTOKENS_LANES_ANYWHERE_H_
#define KEYTOKENS_LANES_ANYWHERE_H_

#if defined(__AVX2__) && defined(__FMA__)
#define KEYTOKENS_AVX2 1
#include <immintrin.h>
#endif

namespace keytokens {

constexpr bool kNarrow = true;

#if KEYTOKENS_AVX2
constexpr int kPartLanes = 8;
#else
constexpr int kPartLanes = 4;
#endif
constexpr int kParts = kLanes / kPartLanes;

typedef float FloatPart __attribute__((vector_size(4 * kPartLanes)));
typedef int32_t IntPart __attribute__((vector_size(4 * kPartLanes)));
typedef float Quarter __attribute__((vector_size(16)));

struct Floats {
  FloatPart part[kParts];
};
struct Ints {
  IntPart part[kParts];
};
struct Mask {
  IntPart part[kParts];  // all bits of a lane, or none
};

// The vector of part(0), part(1) ..., and that of lane(0), lane(1) ...
template <class T, class F>
KEYTOKENS_INLINE T Parts(F part) {
  T result;
#pragma GCC unroll 4
  for (int i = 0; i < kParts; i++) result.part[i] = part(i);
  return result;
}
template <class T, class F>
KEYTOKENS_INLINE T Each(F lane) {
  return Parts<T>([&](int i) {
    decltype(T::part[0] + T::part[0]) part;
    for (int j = 0; j < kPartLanes; j++) part[j] = lane(i * kPartLanes + j);
    return part;
  });
}
template <class T>
KEYTOKENS_INLINE auto Lane(const T& x, int i) {
  return x.part[i / kPartLanes][i % kPartLanes];
}

KEYTOKENS_INLINE Floats operator+(Floats a, Floats b) {
  return Parts<Floats>([&](int i) { return a.part[i] + b.part[i]; });
}
KEYTOKENS_INLINE Floats operator-(Floats a, Floats b) {
  return Parts<Floats>([&](int i) { return a.part[i] - b.part[i]; });
}
KEYTOKENS_INLINE Floats operator*(Floats a, Floats b) {
  return Parts<Floats>([&](int i) { return a.part[i] * b.part[i]; });
}
KEYTOKENS_INLINE Floats operator/(Floats a, Floats b) {
  return Parts<Floats>([&](int i) { return a.part[i] / b.part[i]; });
}

KEYTOKENS_INLINE Floats Set(float x) {
  return Parts<Floats>([&](int) { return x - FloatPart{}; });
}
KEYTOKENS_INLINE Ints SetInt(int32_t x) {
  return Parts<Ints>([&](int) { return x + IntPart{}; });
}

// Part by part, or it would go through memory.
template <class T>
KEYTOKENS_INLINE T LoadAs(const void* x) {
  return Parts<T>([&](int i) {
    decltype(T::part[0] + T::part[0]) part;
    std::memcpy(&part, static_cast<const char*>(x) + i * sizeof(part), sizeof(part));
    return part;
  });
}
template <class T>
KEYTOKENS_INLINE void StoreAs(void* to, const T& x) {
#pragma GCC unroll 4
  for (int i = 0; i < kParts; i++)
    std::memcpy(static_cast<char*>(to) + i * sizeof(x.part[i]), &x.part[i], sizeof(x.part[i]));
}
KEYTOKENS_INLINE Floats Load(const float* x) { return LoadAs<Floats>(x); }
KEYTOKENS_INLINE Ints LoadInts(const void* x) { return LoadAs<Ints>(x); }
KEYTOKENS_INLINE void Store(float* to, Floats x) { StoreAs(to, x); }
KEYTOKENS_INLINE void StoreInts(void* to, Ints x) { StoreAs(to, x); }

KEYTOKENS_INLINE Mask First(int64_t n) {
  static constexpr int32_t kIndices[kLanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const Ints indices = LoadAs<Ints>(kIndices), count = SetInt(static_cast<int32_t>(std::clamp<int64_t>(n, 0, kLanes)));
  return Parts<Mask>([&](int i) { return indices.part[i] < count.part[i]; });
}
KEYTOKENS_INLINE Mask And(Mask a, Mask b) {
  return Parts<Mask>([&](int i) { return a.part[i] & b.part[i]; });
}
KEYTOKENS_INLINE Mask AndNot(Mask a, Mask b) {
  return Parts<Mask>([&](int i) { return a.part[i] & ~b.part[i]; });
}
KEYTOKENS_INLINE uint32_t Bits(Mask mask) {
  uint32_t bits = 0;
  for (int i = 0; i < kParts; i++) {
#if KEYTOKENS_AVX2
    bits |= static_cast<uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(mask.part[i]))) << (kPartLanes * i);
#else
    for (int j = 0; j < kPartLanes; j++) bits |= (mask.part[i][j] & 1u) << (kPartLanes * i + j);
#endif
  }
  return bits;
}
KEYTOKENS_INLINE Floats Select(Mask mask, Floats where, Floats elsewhere) {
  return Parts<Floats>([&](int i) { return mask.part[i] ? where.part[i] : elsewhere.part[i]; });
}
KEYTOKENS_INLINE Ints Select(Mask mask, Ints where, Ints elsewhere) {
  return Parts<Ints>([&](int i) { return mask.part[i] ? where.part[i] : elsewhere.part[i]; });
}

KEYTOKENS_INLINE size_t Bytes(int64_t n, size_t size) { return std::clamp<int64_t>(n, 0, kLanes) * size; }
template <class T>
KEYTOKENS_INLINE T LoadFirstAs(const void* x, int64_t n) {
  if (n >= kLanes) return LoadAs<T>(x);
  int32_t numbers[kLanes] = {};
  std::memcpy(numbers, x, Bytes(n, sizeof(int32_t)));
  return LoadAs<T>(numbers);
}
KEYTOKENS_INLINE Floats LoadFirst(const float* x, int64_t n) { return LoadFirstAs<Floats>(x, n); }
KEYTOKENS_INLINE Ints LoadFirstInts(const void* x, int64_t n) { return LoadFirstAs<Ints>(x, n); }
KEYTOKENS_INLINE Floats LoadFirst(const uint16_t* x, int64_t n) {
  uint16_t halves[kLanes] = {};
  std::memcpy(halves, x, Bytes(n, sizeof(uint16_t)));
  const Ints wide = Each<Ints>([&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(halves[i]) << 16); });
  return LoadAs<Floats>(&wide);
}
KEYTOKENS_INLINE void StoreFirst(float* to, Floats x, int64_t n) { std::memcpy(to, &x, Bytes(n, sizeof(float))); }

KEYTOKENS_INLINE void StoreShorts(int16_t* to, Ints x) {
#if KEYTOKENS_AVX2
  const __m256i mixed = _mm256_packs_epi32(reinterpret_cast<__m256i>(x.part[0]), reinterpret_cast<__m256i>(x.part[1]));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permute4x64_epi64(mixed, 0xd8));
#else
  for (int i = 0; i < kLanes; i++) to[i] = static_cast<int16_t>(std::clamp(Lane(x, i), -32768, 32767));
#endif
}
KEYTOKENS_INLINE void StoreFirstShorts(int16_t* to, Ints x, int64_t n) {
  int16_t shorts[kLanes];
  StoreShorts(shorts, x);
  std::memcpy(to, shorts, Bytes(n, sizeof(int16_t)));
}

KEYTOKENS_INLINE Mask Greater(Floats a, Floats b) {
  return Parts<Mask>([&](int i) { return a.part[i] > b.part[i]; });
}
KEYTOKENS_INLINE Mask GreaterEqual(Floats a, Floats b) {
  return Parts<Mask>([&](int i) { return a.part[i] >= b.part[i]; });
}
KEYTOKENS_INLINE Mask Equal(Floats a, Floats b) {
  return Parts<Mask>([&](int i) { return a.part[i] == b.part[i]; });
}
KEYTOKENS_INLINE Mask IsNan(Floats x) {
  return Parts<Mask>([&](int i) { return x.part[i] != x.part[i]; });
}

KEYTOKENS_INLINE Floats Max(Floats a, Floats b) { return Select(Greater(a, b), a, b); }
KEYTOKENS_INLINE Floats Min(Floats a, Floats b) { return Select(Greater(b, a), a, b); }
KEYTOKENS_INLINE Ints MaxInts(Ints a, Ints b) {
  return Parts<Ints>([&](int i) { return a.part[i] > b.part[i] ? a.part[i] : b.part[i]; });
}

KEYTOKENS_INLINE Floats MulAdd(Floats a, Floats b, Floats c) {
  return Parts<Floats>([&](int i) {
#if KEYTOKENS_AVX2
    return FloatPart(_mm256_fmadd_ps(a.part[i], b.part[i], c.part[i]));
#else
    return a.part[i] * b.part[i] + c.part[i];
#endif
  });
}
KEYTOKENS_INLINE Floats Abs(Floats x) {
  const Ints without_sign = Parts<Ints>([&](int i) { return reinterpret_cast<IntPart>(x.part[i]) & 0x7fffffff; });
  return Parts<Floats>([&](int i) { return reinterpret_cast<FloatPart>(without_sign.part[i]); });
}
KEYTOKENS_INLINE Floats Sqrt(Floats x) {
  return Each<Floats>([&](int i) { return std::sqrt(Lane(x, i)); });
}
KEYTOKENS_INLINE Floats Round(Floats x) {
#if KEYTOKENS_AVX2
  return Parts<Floats>([&](int i) {
    return FloatPart(_mm256_round_ps(x.part[i], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  });
#else
  return Each<Floats>([&](int i) { return __builtin_rintf(Lane(x, i)); });
#endif
}
KEYTOKENS_INLINE Ints RoundToInts(Floats x) {
#if KEYTOKENS_AVX2
  return Parts<Ints>([&](int i) { return IntPart(_mm256_cvtps_epi32(x.part[i])); });
#else
  return Each<Ints>([&](int i) { return static_cast<int32_t>(__builtin_rintf(Lane(x, i))); });
#endif
}
KEYTOKENS_INLINE Floats ToFloats(Ints x) {
  return Parts<Floats>([&](int i) { return __builtin_convertvector(x.part[i], FloatPart); });
}
// In two steps, of which neither leaves float32's range.
KEYTOKENS_INLINE Floats Scale(Floats x, Floats n) {
  const Ints whole = RoundToInts(Min(Set(200.0f), n));
  return Parts<Floats>([&](int i) {
    const IntPart half = whole.part[i] >> 1, rest = whole.part[i] - half;
    const auto power = [](IntPart exponent) { return reinterpret_cast<FloatPart>((exponent + 127) << 23); };
    return x.part[i] * power(half) * power(rest);
  });
}

KEYTOKENS_INLINE Floats Lookup(const float* table, Floats x) {
  const Ints bits = LoadAs<Ints>(&x);
#if KEYTOKENS_AVX2
  return Parts<Floats>([&](int i) {  // faster than to gather
    const auto eight = [&](int first) {
      return _mm256_permutevar8x32_ps(_mm256_load_ps(table + first), reinterpret_cast<__m256i>(bits.part[i]));
    };
    const __m256 bit3 = reinterpret_cast<__m256>(bits.part[i] << 28), bit4 = reinterpret_cast<__m256>(bits.part[i] << 27);
    const __m256 low = _mm256_blendv_ps(eight(0), eight(8), bit3), high = _mm256_blendv_ps(eight(16), eight(24), bit3);
    return FloatPart(_mm256_blendv_ps(low, high, bit4));
  });
#else
  return Each<Floats>([&](int i) { return table[Lane(bits, i) & 31]; });
#endif
}

// In the order of AVX-512's: halves are joined, again and again.
template <class T, class F>
KEYTOKENS_INLINE auto Reduce(const T& x, F join) {
  auto first = Lane(x, 0);
  decltype(first) lanes[kLanes];
  std::memcpy(lanes, &x, sizeof(x));
  for (int half = kLanes / 2; half; half /= 2)
    for (int i = 0; i < half; i++) lanes[i] = join(lanes[i], lanes[i + half]);
  return lanes[0];
}
KEYTOKENS_INLINE float FirstLane(Floats x) { return Lane(x, 0); }
KEYTOKENS_INLINE float Sum(Floats x) {
  return Reduce(x, [](float a, float b) { return a + b; });
}
KEYTOKENS_INLINE float Largest(Floats x) {
  return Reduce(x, [](float a, float b) { return std::max(a, b); });
}
KEYTOKENS_INLINE float Least(Floats x) {
  return Reduce(x, [](float a, float b) { return std::min(a, b); });
}
KEYTOKENS_INLINE int32_t LargestInt(Ints x) {
  return Reduce(x, [](int32_t a, int32_t b) { return std::max(a, b); });
}

// In the order of AVX-512's.
KEYTOKENS_INLINE Floats LaneSums(Floats (&rows)[16]) {
  Quarter quarters[16][4], sums[4];
  std::memcpy(quarters, rows, sizeof(quarters));
#pragma GCC unroll 4
  for (int g = 0; g < 4; g++) {  // four rows
    Quarter of[4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) {
      const Quarter a = quarters[4 * g][q], b = quarters[4 * g + 1][q];
      const Quarter c = quarters[4 * g + 2][q], d = quarters[4 * g + 3][q];
      const Quarter ab = Quarter{a[0], b[0], a[1], b[1]} + Quarter{a[2], b[2], a[3], b[3]};
      const Quarter cd = Quarter{c[0], d[0], c[1], d[1]} + Quarter{c[2], d[2], c[3], d[3]};
      of[q] = Quarter{ab[0], ab[1], cd[0], cd[1]} + Quarter{ab[2], ab[3], cd[2], cd[3]};
    }
    sums[g] = (of[0] + of[1]) + (of[2] + of[3]);
  }
  return LoadAs<Floats>(sums);
}

KEYTOKENS_INLINE void Transpose(Ints (&rows)[16]) {
  int32_t numbers[kLanes][kLanes], turned[kLanes][kLanes];
  std::memcpy(numbers, rows, sizeof(numbers));
  for (int i = 0; i < kLanes; i++)
    for (int j = 0; j < kLanes; j++) turned[i][j] = numbers[j][i];
  std::memcpy(rows, turned, sizeof(turned));
}

template <class Number, class T>
KEYTOKENS_INLINE void StorePicked(Number* to, Mask mask, const T& x) {
  for (uint32_t bits = Bits(mask); bits; bits &= bits - 1) *to++ = Lane(x, __builtin_ctz(bits));
}

KEYTOKENS_INLINE void AddProducts(Ints& acc, Ints a, Ints b) {
  acc = Parts<Ints>([&](int i) {
#if KEYTOKENS_AVX2
    const __m256i products = _mm256_madd_epi16(reinterpret_cast<__m256i>(a.part[i]), reinterpret_cast<__m256i>(b.part[i]));
    return IntPart(_mm256_add_epi32(reinterpret_cast<__m256i>(acc.part[i]), products));
#else
    const auto low = [](IntPart pairs) { return (pairs << 16) >> 16; };
    return acc.part[i] + low(a.part[i]) * low(b.part[i]) + (a.part[i] >> 16) * (b.part[i] >> 16);
#endif
  });
}
KEYTOKENS_INLINE void AddProducts(Floats& acc, Floats a, Floats b) { acc = MulAdd(a, b, acc); }

}  // namespace keytokens

#endif  // KEYTOKENS_LANES_ANYWHERE_H_
