namespace NormFree.Data

open System

/// <summary>What a random stream is used for. Streams of different purposes are independent, even with equal keys.</summary>
type Purpose =
    | Drawing = 1
    | Augmenting = 2
    | Ordering = 3
    | Choosing = 4
    | HoldingOut = 5
    | Mixing = 6

/// <summary>A SplitMix64 generator (Steele, Lea and Flood 2014), seeded by a list of keys.</summary>
/// <remarks>
/// Each sample of each epoch has its own stream, so results depend neither on the number of workers nor on their timing.
/// Not thread-safe.
/// </remarks>
[<Sealed>]
type RandomStream private (start: uint64) =
    let mutable state = start

    static let golden = 0x9E3779B97F4A7C15UL

    static let mix (value: uint64) =
        let a = (value ^^^ (value >>> 30)) * 0xBF58476D1CE4E5B9UL
        let b = (a ^^^ (a >>> 27)) * 0x94D049BB133111EBUL
        b ^^^ (b >>> 31)

    /// The stream of a list of keys. Another list or order gives an independent stream.
    static member OfKeys([<ParamArray>] keys: int64[]) =
        let absorb state (key: int64) = mix (state * 3UL + golden + mix (uint64 key + golden))
        RandomStream(Array.fold absorb (uint64 keys.Length) keys)

    /// The stream of a purpose and keys.
    static member For(purpose: Purpose, [<ParamArray>] keys: int64[]) =
        RandomStream.OfKeys(Array.append [| int64 purpose |] keys)

    /// Plain SplitMix64 with one 64-bit seed.
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
            raise (ArgumentOutOfRangeException(nameof bound, bound, "The bound must be at least 1."))

        let range = uint64 bound
        // 2⁶⁴ mod range: rejecting low halves below it removes the bias.
        let threshold = (0UL - range) % range
        let mutable low = 0UL
        let mutable high = Math.BigMul(this.Bits(), range, &low)

        while low < threshold do
            high <- Math.BigMul(this.Bits(), range, &low)

        int high

    /// Standard normal (Box and Muller; the second value is discarded).
    member this.Normal() =
        let radius = sqrt (-2.0 * log (1.0 - this.Float()))
        radius * cos (2.0 * Math.PI * this.Float())

    /// <summary>Beta(a, a) distributed, by Jöhnk's rejection. It tries 2 times on average for a = 1, and 6 times for a = 2.</summary>
    member this.Beta(a: float) =
        let rec attempt () =
            let x, y = this.Float() ** (1.0 / a), this.Float() ** (1.0 / a)
            // Both underflow to 0 only for a tiny a, whose distribution is 0 or 1.
            if x + y > 1.0 then attempt ()
            elif x + y > 0.0 then x / (x + y)
            elif this.Float() < 0.5 then 0.0
            else 1.0

        attempt ()

    /// Shuffles in place (Fisher and Yates).
    member this.Shuffle(items: 'a[]) =
        for i in items.Length - 1 .. -1 .. 1 do
            let j = this.Below(i + 1)
            let item = items[i]
            items[i] <- items[j]
            items[j] <- item
