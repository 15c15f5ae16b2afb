/// Prints timings as Markdown.
module NormFree.Microbenchmarks.Show

open NormFree.Benchmarks
open NormFree.Reporting

/// A time with a fitting unit.
let private time seconds =
    if seconds < 1e-3 then $"{seconds * 1e6:f1} µs"
    elif seconds < 1.0 then $"{seconds * 1e3:f2} ms"
    else $"{seconds:f2} s"

let table columns rows = printfn $"{Report.markdownTable { Columns = columns; Rows = rows }}\n"

/// Prints the timings, each with a figure of its own, and the ratios of all pairs of medians.
let timings figure (value: Timing -> string) (timings: Timing list) =
    table
        [ "candidate"; "median"; "min"; "max"; "rounds"; figure ]
        [ for t in timings ->
              let spread = Spread.Of t.Seconds
              [ t.Name; time spread.Median; time spread.Min; time spread.Max; string t.Seconds.Length; value t ] ]

    table
        [ "pair"; "ratio of medians" ]
        [ for i, a in List.indexed timings do
              for b in List.skip (i + 1) timings -> [ $"{b.Name} / {a.Name}"; $"{b.Median / a.Median:f2}" ] ]
