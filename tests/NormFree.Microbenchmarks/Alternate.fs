/// Compares versions of a piece of work by turns (A B A B …) in one run: what slows the machine down for a while meets all of them alike.
module NormFree.Benchmarks.Alternate

open System
open System.Diagnostics

/// One way to do the work.
type Version =
    {
        Name: string
        /// Does the work once.
        Run: unit -> unit
    }

/// What a version took, in seconds a run, by round.
type Timing =
    { Name: string
      Seconds: float[] }

    member t.Median = Timing.MedianOf t.Seconds
    member t.Min = Array.min t.Seconds
    member t.Max = Array.max t.Seconds

    static member MedianOf(values: float[]) =
        let sorted = Array.sort values
        let middle = sorted.Length / 2

        if sorted.Length % 2 = 1 then
            sorted[middle]
        else
            (sorted[middle - 1] + sorted[middle]) / 2.0

/// How long to measure.
type Effort =
    {
        /// Runs of each version before the clock starts.
        WarmUp: int
        /// At least so many timed rounds.
        Rounds: int
        /// And at least so many seconds in all.
        Seconds: float
    }

let private time (version: Version) =
    let start = Stopwatch.GetTimestamp()
    version.Run()
    Stopwatch.GetElapsedTime(start).TotalSeconds

/// Times the versions in alternation; every round runs each of them once.
let run (effort: Effort) (versions: Version list) : Timing list =
    for _ in 1 .. effort.WarmUp do
        for version in versions do
            version.Run()

    // A collection of what was there before must not fall into the first rounds.
    GC.Collect()
    GC.WaitForPendingFinalizers()
    let rounds = ResizeArray<float list>()
    let clock = Stopwatch.StartNew()

    while rounds.Count < effort.Rounds || clock.Elapsed.TotalSeconds < effort.Seconds do
        rounds.Add(versions |> List.map time)

    [ for i, version in List.indexed versions ->
          { Name = version.Name; Seconds = [| for round in rounds -> round[i] |] } ]

/// The ratios of the medians of all pairs: how many times as long the second of each takes as the first.
let ratios (timings: Timing list) =
    [ for i, a in List.indexed timings do
          for b in List.skip (i + 1) timings do
              a.Name, b.Name, b.Median / a.Median ]

/// A time with three digits and a unit that fits.
let show seconds =
    if seconds < 1e-3 then $"{seconds * 1e6:f1} µs"
    elif seconds < 1.0 then $"{seconds * 1e3:f2} ms"
    else $"{seconds:f2} s"

/// A Markdown table.
let table (head: string list) (rows: string list list) =
    let line (cells: string list) = "| " + String.Join(" | ", cells) + " |"
    printfn $"{line head}"
    printfn $"""|{String.replicate head.Length "---|"}"""

    for row in rows do
        printfn $"{line row}"

    printfn ""

/// Prints the timings, each with a figure of its own, and the ratios of all pairs.
let report figure (value: Timing -> string) (timings: Timing list) =
    table
        [ "version"; "median"; "min"; "max"; "rounds"; figure ]
        [ for t in timings -> [ t.Name; show t.Median; show t.Min; show t.Max; string t.Seconds.Length; value t ] ]

    table [ "pair"; "ratio of medians" ] [ for a, b, ratio in ratios timings -> [ $"{b} / {a}"; $"{ratio:f2}" ] ]
