namespace NormFree.Benchmarks

open System
open System.Diagnostics

/// <summary>One of several implementations to compare; <c>Run</c> does the work once.</summary>
type Candidate = { Name: string; Run: unit -> unit }

/// <summary>How long to measure.</summary>
type Effort =
    {
        /// Untimed rounds.
        WarmUp: int
        /// The minimum number of timed rounds.
        Rounds: int
        /// The minimum duration of all timed rounds in seconds.
        Seconds: float
    }

/// <summary>A candidate's times in seconds, by round.</summary>
type Timing =
    { Name: string
      Seconds: float list }

    /// <summary>The median over the rounds.</summary>
    member t.Median = (Spread.Of t.Seconds).Median

/// <summary>Times candidates in alternation (A B A B …), so that a temporarily slow machine affects all of them alike.</summary>
[<RequireQualifiedAccess>]
module Alternation =

    let private time (candidate: Candidate) =
        let start = Stopwatch.GetTimestamp()
        candidate.Run()
        Stopwatch.GetElapsedTime(start).TotalSeconds

    /// <summary>Times the candidates; every round runs each of them once.</summary>
    let run (effort: Effort) (candidates: Candidate list) : Timing list =
        for _ in 1 .. effort.WarmUp do
            for candidate in candidates do
                candidate.Run()

        // Keeps the collection of earlier garbage out of the first rounds.
        GC.Collect()
        GC.WaitForPendingFinalizers()
        let clock, rounds = Stopwatch.StartNew(), ResizeArray<float list>()

        while rounds.Count < effort.Rounds || clock.Elapsed.TotalSeconds < effort.Seconds do
            rounds.Add(candidates |> List.map time)

        [ for i, candidate in List.indexed candidates ->
              { Name = candidate.Name; Seconds = [ for round in rounds -> round[i] ] } ]
