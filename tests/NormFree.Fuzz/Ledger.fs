/// What AFL++ has run on each target, in all campaigns: tests/fixtures/fuzz/executions.tsv, and its table in docs/proof.md.
module NormFree.Fuzz.Ledger

open System
open System.Globalization
open System.IO
open System.Threading
open NormFree.Formats

let repository =
    let rec up (folder: DirectoryInfo | null) =
        match folder with
        | null -> failwith "The program is not in the repository."
        | folder when File.Exists(Path.Combine(folder.FullName, "Hybrid.sln")) -> folder.FullName
        | folder -> up folder.Parent

    up (DirectoryInfo AppContext.BaseDirectory)

let corpus = Path.Combine(repository, "tests", "fixtures", "fuzz")
let private ledger = Path.Combine(corpus, "executions.tsv")
let private page = Path.Combine(repository, "docs", "proof.md")

/// What has run on a target. `Inputs` is the size of AFL's queue, `Faults` the number of crashes and hangs that it saved.
type Entry = { Executions: int64; Minutes: float; Inputs: int; Faults: int }

let private none = { Executions = 0L; Minutes = 0.0; Inputs = 0; Faults = 0 }

let private number (value: float) = value.ToString("F1", CultureInfo.InvariantCulture)

let private toCells entry = [ string entry.Executions; number entry.Minutes; string entry.Inputs; string entry.Faults ]

let private ofCells (cells: string list) =
    match cells with
    | [ executions; minutes; inputs; faults ] ->
        { Executions = int64 executions
          Minutes = Double.Parse(minutes, CultureInfo.InvariantCulture)
          Inputs = int inputs
          Faults = int faults }
    | _ -> failwith $"Not an entry: {cells}"

let private read () =
    Map
        [ for line in File.ReadAllLines ledger |> Array.skip 1 do
              let cells = List.ofArray (line.Split '\t')
              cells.Head, ofCells cells.Tail ]

let private write entries =
    let lines = [ for name, entry in Map.toList entries -> String.Join('\t', name :: toCells entry) ]
    File.WriteAllLines(ledger, "target\texecutions\tminutes\tinputs\tfaults" :: lines)

/// AFL's statistics of a target's folder: those of all its sessions, because AFL resumes them. None before its first session.
let private statistics folder =
    let path = Path.Combine(folder, "out", "default", "fuzzer_stats")

    if File.Exists path then
        let values =
            dict
                [ for line in File.ReadAllLines path do
                      match line.Split(':', 2, StringSplitOptions.TrimEntries) with
                      | [| key; value |] -> key, value
                      | _ -> () ]

        Some
            { Executions = int64 values["execs_done"]
              Minutes = float values["run_time"] / 60.0
              Inputs = int values["corpus_count"]
              Faults = int values["saved_crashes"] + int values["saved_hangs"] }
    else
        None

/// Runs while no other process changes the ledger: campaigns may run side by side.
let private alone (action: unit -> unit) =
    let path = Path.Combine(Path.GetTempPath(), "normfree-fuzz-ledger.lock")

    let rec take () =
        match FileLock.TryTake(path, $"{Environment.ProcessId}") with
        | NonNull lock, _ -> lock
        | _ ->
            Thread.Sleep 50
            take ()

    use _ = take ()
    action ()

/// Adds what has run in a target's folder since it was recorded last, whether or not the campaign came to its end.
let record (folder: string) (target: Contract.Target) =
    let marker = Path.Combine(folder, "recorded")

    let add found =
        let before =
            if File.Exists marker then
                ofCells (List.ofArray (File.ReadAllText(marker).Split '\t'))
            else
                none

        // Statistics that are lower than before are those of a folder that was cleared.
        let before = if found.Executions < before.Executions then none else before
        let entries = read ()
        let known = entries |> Map.tryFind target.Name |> Option.defaultValue none

        let sum =
            { Executions = known.Executions + found.Executions - before.Executions
              Minutes = known.Minutes + found.Minutes - before.Minutes
              Inputs = found.Inputs
              Faults = known.Faults + found.Faults - before.Faults }

        write (Map.add target.Name sum entries)
        File.WriteAllText(marker, String.Join('\t', toCells found))

    alone (fun () -> statistics folder |> Option.iter add)

let private head = "| target | minutes | executions | inputs in AFL's queue | crashes and hangs |"

let private writeTable (targets: Contract.Target list) =
    let entries = read ()

    let rows =
        [ for target in targets do
              let entry = entries |> Map.tryFind target.Name |> Option.defaultValue none
              $"| {target.Name} | {number entry.Minutes} | {entry.Executions} | {entry.Inputs} | {entry.Faults} |" ]

    let lines = List.ofArray (File.ReadAllLines page)
    let before = List.takeWhile ((<>) head) lines
    let isRow (line: string) = line.StartsWith '|'
    let after = lines |> List.skip before.Length |> List.skipWhile isRow

    if before.Length = lines.Length then
        failwith $"{page} has no table that begins with {head}"

    File.WriteAllLines(page, before @ [ head; "|---|---|---|---|---|" ] @ rows @ after)

/// Writes the table in docs/proof.md.
let publish targets = alone (fun () -> writeTable targets)
