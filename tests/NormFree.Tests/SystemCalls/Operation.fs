/// An operation that writes files, and what must hold whichever of its system calls fails.
module NormFree.Tests.SystemCalls.Operation

open System
open System.IO
open Expecto
open NormFree.Tests
open NormFree.Tests.Cli
open NormFree.Tests.Data.Support

/// How an operation ended: the exit code of the tool, what it printed on the error stream, and its warnings.
type Ending = { Code: int; Err: string; Warnings: string list }

type Operation =
    {
        Name: string
        /// Makes the folder as it is before the operation.
        Prepare: string -> unit
        /// The part of the folder whose calls fail.
        Watched: string -> string
        Run: string -> Ending
        /// Fails unless the folder is as it must be after this end.
        Check: string -> Ending -> unit
    }

let failed = 1

/// Runs the tool in this process.
let tool (arguments: string list) =
    let code, _, err = ConsoleCapture.run (fun () -> NormFree.Cli.Program.main (List.toArray arguments))
    let isWarning (line: string) = line.StartsWith "normfree: warning: "

    let warnings, others =
        err.Split('\n', StringSplitOptions.RemoveEmptyEntries) |> Array.partition isWarning

    { Code = code; Err = String.concat "\n" others; Warnings = List.ofArray warnings }

let copy (source: string) (target: string) =
    for folder in Directory.GetDirectories(source, "*", SearchOption.AllDirectories) do
        Directory.CreateDirectory(Path.Combine(target, Path.GetRelativePath(source, folder))) |> ignore

    for file in Directory.GetFiles(source, "*", SearchOption.AllDirectories) do
        File.Copy(file, Path.Combine(target, Path.GetRelativePath(source, file)))

/// The files below a folder, by relative path.
let filesOf (folder: string) =
    [ for path in Directory.GetFiles(folder, "*", SearchOption.AllDirectories) -> Path.GetRelativePath(folder, path) ]
    |> List.sort

let expectNoLeftovers (folder: string) place =
    let isTemporary (name: string) = name.EndsWith ".tmp"
    Expect.isEmpty (filesOf folder |> List.filter isTemporary) $"temporary files {place}"

/// The operation succeeded, perhaps with warnings, or failed with one clear message. All of them name a file.
let expectClear (folder: string) ending =
    for text in ending.Warnings do
        Expect.stringContains text folder "a warning names the file"

    if ending.Code = 0 then
        Expect.equal ending.Err "" "the error stream after success"
    else
        Expect.equal ending.Code failed $"exit code: {ending.Err}"
        Expect.stringStarts ending.Err "normfree: " "who complains"
        Expect.stringContains ending.Err folder "the message names the file"

        for sign in [ "internal error"; "   at "; "Exception" ] do
            Expect.isFalse (ending.Err.Contains sign) $"'{sign}' in: {ending.Err}"

/// A file that the operation replaces.
let old = "old"B

/// The target has its old content after a failure and its new one after success; or the new one after a failure of the flush that follows.
let expectWhole (isNew: byte[] -> bool) (path: string) ending =
    let found = File.ReadAllBytes path

    if ending.Code = 0 then
        Expect.isTrue (isNew found) $"the new file after success: {found.Length} bytes"
    elif found <> old then
        Expect.isTrue (isNew found) $"the old or the new file, not {found.Length} other bytes: {ending.Err}"
        Expect.stringContains ending.Err "may not survive a power failure" "why a new file is a failure"

/// What an operation produces if nothing fails.
let undisturbed (prepare: string -> unit) (run: string -> unit) (read: string -> 'a) =
    lazy
        (use folder = new TempFolder()
         prepare folder.Path
         run folder.Path
         read folder.Path)

/// No operation makes as many calls of one kind.
let private most = 3000

/// All kinds of calls, or those in NORMFREE_CALLS, for example Open,Sync: on a busy machine an operation may take hours.
let private calls =
    match Environment.GetEnvironmentVariable "NORMFREE_CALLS" with
    | null -> Enum.GetValues<Injection.Call>()
    | names -> names.Split ',' |> Array.map Enum.Parse<Injection.Call>

/// Makes the n-th call of each kind fail for n = 1, 2, 3 … until the operation has no n-th one. Returns the number of calls by kind, and what
/// went wrong.
let exercise error lasts (operation: Operation) =
    let wrong = ResizeArray()

    let attempt call n =
        use folder = new TempFolder()
        operation.Prepare folder.Path
        let ending = ref { Code = -1; Err = ""; Warnings = [] }

        let run () =
            try
                ending.Value <- operation.Run folder.Path
            with problem ->
                ending.Value <- { ending.Value with Err = string problem }

        let isHit = Injection.failing (operation.Watched folder.Path) call n error lasts run

        try
            operation.Check folder.Path ending.Value

            if not isHit then
                Expect.equal ending.Value.Code 0 $"exit code without a failure: {ending.Value.Err}"
        with problem ->
            wrong.Add $"{operation.Name}, {call} number {n}: {problem.Message}"

        isHit

    let counts =
        [ for call in calls ->
              call, Seq.initInfinite ((+) 1) |> Seq.takeWhile (attempt call) |> Seq.truncate most |> Seq.length ]

    counts, List.ofSeq wrong
