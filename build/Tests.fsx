/// Test programs, and the count of their tests.
module Tests

#load "Platforms.fsx"

open System
open System.IO
open System.Runtime.InteropServices
open System.Text.RegularExpressions
open Fake.Core
open Commands

/// Tests that passed, failed and were skipped in all programs so far; None before the first program starts.
let mutable private counts: (int * int * int) option = None

let private gate = obj ()

let private add (passed, failed, skipped) =
    lock gate (fun () ->
        let p, f, s = defaultArg counts (0, 0, 0)
        counts <- Some(p + passed, f + failed, s + skipped))

/// Expecto resets colours even where it uses none.
let private withoutColours (line: string) = Regex.Replace(line, "\x1b\[[0-9;]*m", "")

let private tryCounts (line: string) =
    let found = Regex.Match(withoutColours line, @"^(\d+) passed, (\d+) failed, (\d+) skipped$")
    let number (i: int) = int found.Groups[i].Value
    if found.Success then Some(number 1, number 2, number 3) else None

/// Runs a test program, prints what it prints, and counts its tests; a program that dies before it can count, or
/// takes longer than the limit, is one failed test.
let private runProgram (limit: TimeSpan) program arguments =
    let mutable result = 0, 1, 0

    let print (line: string) =
        if not (isNull line) then
            tryCounts line |> Option.iter (fun found -> result <- found)
            printfn $"{line}"

    try
        CreateProcess.fromRawCommand program arguments
        |> CreateProcess.withWorkingDirectory root
        |> CreateProcess.redirectOutput
        |> CreateProcess.withOutputEvents print (fun line ->
            if not (isNull line) then
                eprintfn $"{line}")
        |> CreateProcess.withTimeout limit
        |> CreateProcess.ensureExitCodeWithMessage "Tests failed."
        |> Proc.run
        |> ignore
    finally
        add result

let private plainly = [ "--no-spinner"; "--colours"; "0" ]

let run arguments =
    let program =
        Path.Combine(
            root,
            $"tests/NormFree.Tests/bin/Release/net10.0/{Platforms.current}",
            Platforms.executable "NormFree.Tests"
        )

    runProgram (TimeSpan.FromHours 5.0) program (plainly @ arguments)

/// Accepts the public surface of every package as it is: writes tests/approved-api.
let approve () =
    Environment.SetEnvironmentVariable("NORMFREE_APPROVE", "1")
    run [ "--filter"; "NormFree.Repository.public surface" ]

/// Prints the line that counts tests, if any ran. A target that failed without a failed test counts as one.
let printCounts isFailed =
    match counts with
    | Some(passed, failed, skipped) ->
        let failed = if isFailed then max 1 failed else failed
        printfn $"{passed} passed, {failed} failed, {skipped} skipped"
    | None -> ()

/// Debian's emulator of 64-bit Arm, and the folder of its libraries.
let private emulator, private armLibraries = "/usr/bin/qemu-aarch64-static", "/usr/aarch64-linux-gnu"

/// Publishes the tests that need no libtorch for 64-bit Arm, and runs them: by themselves on such a machine, in the emulator elsewhere. Each list runs in
/// a process of its own, one test after the other: threads that wait for each other may hang in the emulator.
let private runOnArm lists =
    let folder = "artifacts/arm64"
    let program = $"{folder}/NormFree.PortableTests"

    let publish () = publish "tests/NormFree.PortableTests" folder [ "-r"; "linux-arm64"; "--self-contained"; "true" ]

    let runLists program arguments =
        [ for list in lists ->
              async { runProgram (TimeSpan.FromMinutes 15.0) program (arguments @ [ "--sequenced" ] @ list @ plainly) } ]
        |> Async.Parallel
        |> Async.RunSynchronously
        |> ignore

    if RuntimeInformation.OSArchitecture = Architecture.Arm64 then
        publish ()
        runLists program []
    elif File.Exists emulator && Directory.Exists armLibraries then
        publish ()
        runLists emulator [ "-L"; armLibraries; program ]
    else
        printfn "Not tested on Arm: install qemu-user-static, libc6-arm64-cross and libstdc++6-arm64-cross."

/// All kernels, packed files and packed networks, on 64-bit Arm.
let onArm () = runOnArm [ [ "--filter"; "NormFree.Kernels" ]; [ "--filter"; "NormFree.Inference" ] ]

/// The kernels for AdvSimd, which no other processor can run, with a fourth of the convolution shapes. Strides and paddings come in groups of nine, so
/// every fourth shape has all of them.
let advSimd () =
    let variable = "NORMFREE_TEST_EVERY"
    let before = Environment.GetEnvironmentVariable variable
    Environment.SetEnvironmentVariable(variable, "4")

    try
        runOnArm [ [ "--filter-test-case"; "AdvSimd" ] ]
    finally
        Environment.SetEnvironmentVariable(variable, before)
