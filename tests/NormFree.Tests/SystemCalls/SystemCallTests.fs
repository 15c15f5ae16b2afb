/// Every system call of an operation fails. The calls fail in a process of its own, which starts with the library of failures.
module NormFree.Tests.SystemCalls.SystemCallTests

open System
open System.Diagnostics
open System.IO
open Expecto
open NormFree.Tests.Data.Support
open NormFree.Tests.SystemCalls.Operation

let private all = WrittenFiles.operations @ ResumedTrainings.operations

/// The first command-line argument of that process. The others are the error number, whether the failure lasts, and the operation's name.
[<Literal>]
let Flag = "--failing-calls"

let private preload = "LD_PRELOAD"

/// Exercises an operation in this process and prints the results.
let exercise error lasts name =
    Injection.attach (nonNull (Environment.GetEnvironmentVariable preload))
    let operation = List.find (fun operation -> operation.Name = name) all
    let clock = Stopwatch.StartNew()
    let counts, wrong = exercise error lasts operation
    let counted = counts |> List.filter (fun (_, count) -> count > 0)
    let total = List.sumBy snd counted
    let list = String.concat ", " [ for call, count in counted -> $"{call} {count}" ]
    printfn $"{name}, error {error}: {total} failures ({list}), {wrong.Length} wrong, {clock.Elapsed.TotalSeconds:F0} s"
    wrong |> List.truncate 20 |> List.iter (printfn "%s")
    if wrong.IsEmpty && total > 0 then 0 else 1

let private exercised error lasts (operation: Operation) =
    let what = if lasts then "fails, and all later ones of its kind" else "fails once"

    test $"{operation.Name}: each system call {what}, with error {error}" {
        use folder = new TempFolder()

        let info =
            ProcessStartInfo(
                nonNull Environment.ProcessPath,
                [ Flag; string error; string lasts; operation.Name ],
                RedirectStandardOutput = true,
                RedirectStandardError = true
            )

        info.Environment[preload] <- Injection.build folder.Path

        match Process.Start info with
        | null -> failtest "the process does not start"
        | started ->
            use started = started
            let out, err = started.StandardOutput.ReadToEndAsync(), started.StandardError.ReadToEndAsync()

            if not (started.WaitForExit(TimeSpan.FromMinutes 20.0)) then
                started.Kill()
                failtest $"it does not end: {out.Result} {err.Result}"

            Expect.equal started.ExitCode 0 $"{out.Result} {err.Result}"
            Console.Out.Write(out.Result)
    }

let tests = testList "system calls" [ exercised Injection.eio false WrittenFiles.light.Head ]

let soak =
    testList
        "every system call"
        [ for operation in all do
              exercised Injection.eio false operation
              exercised Injection.enospc true operation ]
