/// The contract of a reader: every input is read or rejected with a documented exception, within bounded memory and time.
module NormFree.Fuzz.Contract

open System
open System.Diagnostics
open System.IO
open NormFree.Data
open NormFree.Formats
open NormFree.Runs

/// A reader, or a writer with its reader, that is tested with arbitrary inputs.
type Target =
    {
        Name: string
        /// Longer inputs are not tried.
        MaxBytes: int
        /// Bytes that may be allocated per byte of the input, beside `Contract.freeBytes`.
        Factor: int64
        /// Reads the input. It raises exceptions; `Contract.check` judges them.
        Read: byte[] -> unit
    }

/// A broken contract.
exception ContractException of message: string with
    override e.Message = e.message

let fail message = raise (ContractException message)

/// Bytes that may be allocated for any input.
let freeBytes = 4L <<< 20

/// Wall time that any input may take. Most take microseconds; a busy machine is slower.
let maxTime = TimeSpan.FromSeconds 20.0

/// A message is one line, and bounded whatever the file contains.
let private checkMessage (message: string) =
    if message.Contains '\n' then
        fail $"the message has several lines: {message}"

    if message.Length > 6000 then
        fail $"the message has {message.Length} characters"

/// The values, or nothing if they are rejected; errors of data sets have the form of a message.
let accepted (result: Result<'value, DataError>) : 'value option =
    match result with
    | Ok value -> Some value
    | Error error ->
        checkMessage (string error)
        None

let acceptedAll (result: Result<'value, DataError list>) : 'value option =
    match result with
    | Ok value -> Some value
    | Error [] -> fail "an error without a reason"
    | Error errors ->
        for error in errors do
            checkMessage (string error)

        None

/// Whether an exception is one that the readers document.
let private isDocumented (error: exn) =
    match error with
    | :? InvalidFileException
    | :? TrainingException -> true
    | _ -> false

let private read target (bytes: byte[]) =
    try
        target.Read bytes
    with error when isDocumented error ->
        checkMessage error.Message

/// Raises an exception if the input breaks the contract.
let check (target: Target) (bytes: byte[]) =
    let limit = freeBytes + target.Factor * int64 bytes.Length

    let allocated () =
        let before = GC.GetAllocatedBytesForCurrentThread()
        read target bytes
        GC.GetAllocatedBytesForCurrentThread() - before

    let clock = Stopwatch.StartNew()

    // The first input also pays for tables and serializers that are created once.
    if allocated () > limit then
        let again = allocated ()

        if again > limit then
            fail $"{again} bytes are allocated for an input of {bytes.Length}"

    if clock.Elapsed > maxTime then
        fail $"an input of {bytes.Length} bytes takes {clock.Elapsed.TotalSeconds:F1} s"

/// Runs with a file of these bytes in a folder of its own.
let withFile (name: string) (bytes: byte[]) (run: string -> unit) =
    let folder =
        Path.Combine(Path.GetTempPath(), $"normfree-fuzz-{Environment.ProcessId}-{Environment.CurrentManagedThreadId}")

    Directory.CreateDirectory folder |> ignore
    let path = Path.Combine(folder, name)

    try
        File.WriteAllBytes(path, bytes)
        run path
    finally
        Directory.Delete(folder, true)
