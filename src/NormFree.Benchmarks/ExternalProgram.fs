namespace NormFree.Benchmarks

open System
open System.ComponentModel
open System.Diagnostics
open System.IO
open NormFree.Runs

/// <summary>Runs other programs.</summary>
[<RequireQualifiedAccess>]
module ExternalProgram =

    /// Output, errors and exit code. None if the program cannot be started.
    let private run (program: string) (arguments: string list) =
        let start =
            ProcessStartInfo(program, arguments, RedirectStandardOutput = true, RedirectStandardError = true)

        try
            use running = nonNull (Process.Start start)
            let errors = running.StandardError.ReadToEndAsync()
            let output = running.StandardOutput.ReadToEnd()
            running.WaitForExit()
            Some(output, errors.Result, running.ExitCode)
        with :? Win32Exception ->
            None

    /// <summary>The program's standard output.</summary>
    /// <remarks>Throws TrainingException if the program is missing, or fails, with its standard error.</remarks>
    let output (program: string) (arguments: string list) : string =
        let command = String.Join(' ', string (Path.GetFileName program) :: arguments)

        match run program arguments with
        | Some(output, _, 0) -> output
        | Some(_, errors, code) -> raise (TrainingException $"{command} failed with exit code {code}: {errors.Trim()}")
        | None -> raise (TrainingException $"{command} cannot be started: {program} was not found.")

    /// <summary>Parses the JSON that a program prints.</summary>
    /// <remarks>Throws as <c>output</c> does, and TrainingException if the output is something else.</remarks>
    let json<'T> program arguments : 'T =
        let text = output program arguments

        match Json.readSnakeCase<'T> text with
        | Ok value -> value
        | Error reason ->
            raise (TrainingException $"{string (Path.GetFileName program)} printed unexpected JSON, {reason}: {text}")

    /// <summary>Whether the program exists and exits with 0.</summary>
    let succeeds program arguments =
        match run program arguments with
        | Some(_, _, 0) -> true
        | _ -> false

    /// <summary>The first of these Pythons that has PyTorch: Debian's PyTorch belongs to <c>/usr/bin/python3</c>, which need not be the first on
    /// the path.</summary>
    let pythonWithTorch (candidates: string list) =
        candidates |> List.tryFind (fun python -> succeeds python [ "-c"; "import torch" ])
