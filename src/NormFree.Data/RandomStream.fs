namespace NormFree.Data

open System

/// <summary>What random numbers are for: streams of different purposes are unrelated, whatever their other keys.</summary>
type Purpose =
    | Drawing = 1
    | Augmenting = 2
    | Ordering = 3
    | Choosing = 4
    | HoldingOut = 5

/// <summary>A SplitMix64 generator (Steele, Lea and Flood 2014) that is keyed rather than shared.</summary>
/// <remarks>
/// Each sample of each epoch owns a stream of its own. A result therefore depends on neither the number
/// of workers nor on the order in which they come to a sample. Not safe for use by two threads at once: make two
/// streams.
/// </remarks>
[<Sealed>]
type RandomStream private (start: uint64) =
    let mutable state = start

    static let golden = 0x9E3779B97F4A7C15UL

    static let mix (value: uint64) =
        let a = (value ^^^ (value >>> 30)) * 0xBF58476D1CE4E5B9UL
        let b = (a ^^^ (a >>> 27)) * 0x94D049BB133111EBUL
        b ^^^ (b >>> 31)

    /// The stream of a list of keys; another list, or another order, gives an unrelated stream.
    static member OfKeys([<ParamArray>] keys: int64[]) =
        let absorb state (key: int64) = mix (state * 3UL + golden + mix (uint64 key + golden))
        RandomStream(Array.fold absorb (uint64 keys.Length) keys)

    /// The stream of a purpose and its keys.
    static member For(purpose: Purpose, [<ParamArray>] keys: int64[]) =
        RandomStream.OfKeys(Array.append [| int64 purpose |] keys)

    /// SplitMix64 as published: the sequence of one 64-bit seed.
    static member OfSeed(seed: uint64) = RandomStream seed

    /// 64 random bits.
    member _.Bits() =
        state <- state + golden
        mix state

    /// Uniform in [0, 1), a multiple of 2⁻⁵³.
    member this.Float() = float (this.Bits() >>> 11) * (1.0 / 9007199254740992.0)

    /// Uniform in [low, high).
    member this.Between(low: float, high: float) = low + (high - low) * this.Float()

    /// <summary>Uniform in 0 … bound − 1 without bias (Lemire 2019).</summary>
    member this.Below(bound: int) =
        if bound <= 0 then
            raise (ArgumentOutOfRangeException(nameof bound, bound, "A bound of at least 1 is needed."))

        let range = uint64 bound
        // 2⁶⁴ mod range: low halves under it would fall on some results once more often than on others.
        let threshold = (0UL - range) % range
        let mutable low = 0UL
        let mutable high = Math.BigMul(this.Bits(), range, &low)

        while low < threshold do
            high <- Math.BigMul(this.Bits(), range, &low)

        int high

    /// Gaussian, mean 0 and deviation 1 (Box and Muller; the second value is thrown away to stay stateless).
    member this.Normal() =
        let radius = sqrt (-2.0 * log (1.0 - this.Float()))
        radius * cos (2.0 * Math.PI * this.Float())

    /// A random order, in place (Fisher and Yates).
    member this.Shuffle(items: 'a[]) =
        for i in items.Length - 1 .. -1 .. 1 do
            let j = this.Below(i + 1)
            let held = items[i]
            items[i] <- items[j]
            items[j] <- held
