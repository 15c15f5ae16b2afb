/// Filter kernels against loops in double precision.
module NormFree.Tests.Kernels.FilterTests

#nowarn "9" // Kernels work on addresses.

open System
open Expecto
open FSharp.NativeInterop
open NormFree.Kernels.Filters
open NormFree.Kernels.Simd
open NormFree.Kernels.Threads
open NormFree.Tests.Golden
open NormFree.Tests.Kernels.Comparison
open NormFree.Tests.Kernels.Support

/// Gradients involve sums with cancellation.
let gradientRounding = 5e-6

/// One convolution's filters and their options.
type Case =
    { Bank: FilterBank
      Binary: bool
      Gain: bool
      Layout: FilterLayout }

    override c.ToString() =
        let parts =
            [ $"{c.Bank.Out} filters of {c.Bank.In}×{c.Bank.Taps}"
              if c.Bank.Standardised then "standardised" else "plain"
              if c.Binary then "binary" else "float"
              if c.Gain then "gain" else "no gain"
              $"{c.Layout}" ]

        String.Join(", ", parts)

/// Results of the forward and backward pass.
type Result =
    { Statistics: FilterStatistics[]
      Scale: float32[]
      Signs: uint64[]
      Filters: float32[]
      Gradient: float32[]
      GainGradient: float32[] }

let private nothing<'T when 'T: unmanaged> : nativeptr<'T> = NativePtr.ofNativeInt 0n

/// Runs forward and backward; <c>gradient</c> and float filters are in the case's layout.
let run set (workers: IWorkers) case (weight: float32[]) (gain: float32[]) (gradient: float32[]) =
    let bank = case.Bank
    let kernels = FilterKernels.For set
    // Filled with NaN, so that a value that is not written is detected.
    let empty count = Array.create count nanf

    let result =
        { Statistics = Array.zeroCreate bank.Out
          Scale = empty bank.Out
          Signs = Array.create (int bank.SignWords) UInt64.MaxValue
          Filters = empty weight.Length
          Gradient = empty weight.Length
          GainGradient = empty bank.Out }

    use w = fixed weight
    use g = fixed gain
    use dy = fixed gradient
    use statistics = fixed result.Statistics
    use scale = fixed result.Scale
    use signs = fixed result.Signs
    use filters = fixed result.Filters
    use dw = fixed result.Gradient
    use dg = fixed result.GainGradient
    let g, dg = if case.Gain then g, dg else nothing, nothing

    if case.Binary then
        kernels.BinaryForward(bank, w, g, statistics, scale, signs, workers)
        kernels.BinaryBackward(bank, w, g, statistics, dy, case.Layout, dw, dg, workers)
    else
        kernels.RealForward(bank, w, g, statistics, filters, case.Layout, workers)
        kernels.RealBackward(bank, w, g, statistics, dy, case.Layout, dw, dg, workers)

    result

/// Index of weight i of O×I×taps in the case's layout.
let indexOf case i =
    let bank = case.Bank
    let filter, channel, tap = i / bank.Size, i % bank.Size / bank.Taps, i % bank.Taps

    match case.Layout with
    | FilterLayout.ChannelsLast -> filter * bank.Size + tap * bank.In + channel
    | _ -> i

let private isPositive case (signs: uint64[]) i =
    let bank = case.Bank
    let filter, channel, tap = i / bank.Size, i % bank.Size / bank.Taps, i % bank.Taps
    isPlus signs (filter * bank.Taps + tap) bank.In channel

/// The filter value of weight i, for float and binary filters.
let filterValue case result i =
    if not case.Binary then result.Filters[indexOf case i]
    elif isPositive case result.Signs i then result.Scale[i / case.Bank.Size]
    else -result.Scale[i / case.Bank.Size]

/// The formulas for one filter in double precision: v, the filter, dw and dgain.
let private oracle case (w: float[]) gain (g: float[]) =
    let n = float w.Length
    let factor = float case.Bank.Factor
    let mean = if case.Bank.Standardised then Array.average w else 0.0
    let u = w |> Array.map (fun w -> w - mean)
    let variance = u |> Array.averageBy (fun u -> u * u)
    let sigma = sqrt (max variance 1e-30)

    let v =
        if case.Bank.Standardised then
            u |> Array.map (fun u -> u / (sigma + 1e-5) / sqrt n)
        else
            w

    let s = v |> Array.averageBy abs
    let used = if case.Binary then v |> Array.map (fun v -> if v >= 0.0 then s else -s) else v
    let dgain = factor * Array.sum (Array.map2 (*) g used)

    let dv = Array.map2 (fun g v -> if case.Binary && abs v > 1.0 then 0.0 else factor * gain * g) g v

    let dw =
        if not case.Bank.Standardised then
            dv
        else
            let dsigma = -(Array.sum (Array.map2 (*) dv u)) / (sigma + 1e-5) ** 2.0 / sqrt n
            let through = if variance >= 1e-30 then dsigma / (n * sigma) else 0.0
            let du = Array.map2 (fun dv u -> dv / (sigma + 1e-5) / sqrt n + through * u) dv u
            let meanDu = Array.average du
            du |> Array.map (fun du -> du - meanDu)

    v, used |> Array.map (fun used -> factor * gain * used), dw, dgain

/// Weights that exceed 1, gains of both signs and 0, gradients; the second filter has equal weights.
let inputs seed case =
    let bank = case.Bank
    let random = Random(seed: int)
    let weight = randoms random 0.8 (bank.Out * bank.Size) |> Array.map (fun w -> w + 0.1f)

    if bank.Out > 1 then
        Array.fill weight bank.Size bank.Size 0.5f

    let gain = randoms random 1.0 bank.Out |> Array.mapi (fun o gain -> if o = 2 then 0f else gain)
    weight, gain, randoms random 1.0 weight.Length

let private agreesWithOracle set case =
    let bank = case.Bank
    let weight, gain, gradient = inputs (bank.Size + bank.Out) case
    let result = run set (ShuffledThreads(2, 1L)) case weight gain gradient

    for o in 0 .. bank.Out - 1 do
        let first = o * bank.Size
        let w = Array.init bank.Size (fun i -> float weight[first + i])
        let g = Array.init bank.Size (fun i -> float gradient[indexOf case (first + i)])
        let v, used, dw, dgain = oracle case w (if case.Gain then float gain[o] else 1.0) g
        let what = $"{case}: filter {o}"

        if case.Binary then
            for i in 0 .. bank.Size - 1 do
                // The sign of smaller values depends on the rounding of the mean.
                if abs v[i] > 1e-6 || v[i] = 0.0 then
                    Expect.equal (isPositive case result.Signs (first + i)) (v[i] >= 0.0) $"{what}: sign {i}"

            Closeness.close rounding 0.0 (float result.Scale[o]) (if v[0] >= 0.0 then used[0] else -used[0]) what
        else
            allClose
                rounding
                used
                (Array.init bank.Size (fun i -> filterValue case result (first + i)))
                $"{what}: filter"

        allClose gradientRounding dw (Array.sub result.Gradient first bank.Size) $"{what}: dw"

        if case.Gain then
            let size = Array.sumBy abs g * (Array.averageBy abs v)
            Closeness.close gradientRounding (size + 1e-30) (float result.GainGradient[o]) dgain $"{what}: dgain"

    if case.Binary then
        for row in 1 .. bank.Out * bank.Taps do
            if bank.In % 64 <> 0 then
                Expect.equal (result.Signs[row * bank.Words - 1] >>> (bank.In % 64)) 0UL $"{case}: unused bits"

let kinds =
    [ for binary in [ false; true ] do
          for standardised in [ false; true ] do
              for gain in [ false; true ] -> binary, standardised, gain ]

let private cases =
    [ for binary, standardised, gain in kinds do
          for channels in [ 1; 3; 4; 31; 32; 33; 64; 64 + 1; 64 + 32; 512 + 64 + 3 ] do
              for taps in [ 1; 9; 25 ] do
                  for layout in [ FilterLayout.ChannelsLast; FilterLayout.Contiguous ] do
                      { Bank = FilterBank(3 + taps % 4, channels, taps, standardised, 1.25f)
                        Binary = binary
                        Gain = gain
                        Layout = layout } ]

let private sameForAllThreads set =
    for binary, standardised, gain in kinds do
        let case =
            // Large enough for several tasks.
            { Bank = FilterBank(192 + 5, 96 + 3, 9, standardised, 1f)
              Binary = binary
              Gain = gain
              Layout = FilterLayout.ChannelsLast }

        let weight, gain, gradient = inputs 3 case

        let on (workers: IWorkers) =
            let r = run set workers case weight gain gradient
            r.Statistics, bits r.Scale, r.Signs, bits r.Filters, bits r.Gradient, bits r.GainGradient

        let alone = on OneThread.Instance

        for threads in 1..3 do
            Expect.equal (on (ShuffledThreads(threads, int64 threads))) alone $"{case}: {threads} threads"

/// The signs by channel and by filter.
let private transposed (bank: FilterBank) (signs: uint64[]) =
    let byChannel = Array.create (int bank.SignsByChannel) UInt32.MaxValue
    let byFilter = Array.create (int bank.SignsByFilter) UInt32.MaxValue
    use signs = fixed signs
    use channels = fixed byChannel
    use filters = fixed byFilter
    SignTranspose.ByChannel(bank, signs, channels, ShuffledThreads(2, 1L))
    SignTranspose.ByFilter(bank, signs, filters, ShuffledThreads(2, 1L))
    byChannel, byFilter

let private transposes =
    testList
        "signs by channel and by filter"
        [ for filters, allChannels in
              [ for filters in [ 1; 31; 32; 33; 64; 64 + 1; 96 + 3 ] do
                    yield filters, [ 1; 3; 31; 32; 33; 64; 64 + 1; 96; 128 + 3 ]
                // Large enough for several tasks.
                yield 512 + 3, [ 128 + 3 ] ] do
              for channels in allChannels do
                  test $"{filters} filters, {channels} channels" {
                      let case =
                          { Bank = FilterBank(filters, channels, 9)
                            Binary = true
                            Gain = false
                            Layout = FilterLayout.ChannelsLast }

                      let bank = case.Bank
                      let weight, gain, gradient = inputs 11 case
                      let result = run InstructionSets.Best OneThread.Instance case weight gain gradient
                      let byChannel, byFilter = transposed bank result.Signs

                      /// Bit j of word (t, k, lane) must be the sign of weight (lane, 32·k + j), or 0 if there is none.
                      let check (words: uint32[]) lanes padded others (index: int -> int -> int -> int) what =
                          let groups = (others + 31) / 32
                          Expect.hasLength words (bank.Taps * groups * padded) what

                          let wrong =
                              [ for at in 0 .. words.Length - 1 do
                                    let tap, group, lane = at / padded / groups, at / padded % groups, at % padded

                                    for bit in 0..31 do
                                        let other = group * 32 + bit
                                        let actual = words[at] >>> bit &&& 1u = 1u

                                        let expected =
                                            lane < lanes
                                            && other < others
                                            && isPositive case result.Signs (index tap lane other)

                                        if actual <> expected then
                                            tap, lane, other ]

                          Expect.isEmpty wrong what

                      let weightAt filter channel tap = filter * bank.Size + channel * bank.Taps + tap

                      check byChannel channels bank.PaddedIn filters (fun t c o -> weightAt o c t) "by channel"
                      check byFilter filters bank.PaddedOut channels (fun t o c -> weightAt o c t) "by filter"
                  } ]

let tests =
    testList
        "filters"
        [ testEverySet "agree with loops in double precision" (fun set -> cases |> List.iter (agreesWithOracle set))
          testEverySet "give the same bits on 1, 2 and 3 threads" sameForAllThreads
          transposes
          test "unsupported instruction sets are rejected" {
              for set in Enum.GetValues<InstructionSet>() do
                  if not (InstructionSets.IsSupported set) then
                      Expect.throwsT<PlatformNotSupportedException> (fun () -> FilterKernels.For set |> ignore) $"{set}"
          } ]
