/// Captures what code writes to the console, apart from what tests at the same time write.
module NormFree.Tests.Cli.ConsoleCapture

open System
open System.IO
open System.Text
open System.Threading

/// Writes to the capture of the current flow of execution, or to the console if it has none. Tasks and threads inherit the flow.
type private CapturingWriter(console: TextWriter) =
    inherit TextWriter()

    let capture = AsyncLocal<TextWriter | null>()

    let target () =
        match capture.Value with
        | null -> console
        | writer -> writer

    member _.Capture
        with set (writer: TextWriter | null) = capture.Value <- writer

    override _.Encoding = console.Encoding
    override _.Write(value: char) = target().Write value
    override _.Write(value: string | null) = target().Write value
    override _.Write(buffer: char[], index: int, count: int) = target().Write(buffer, index, count)
    override _.WriteLine() = target().WriteLine()
    override _.WriteLine(value: string | null) = target().WriteLine value
    override _.Flush() = target().Flush()

let private writers =
    lazy
        (let out, error = new CapturingWriter(Console.Out), new CapturingWriter(Console.Error)
         Console.SetOut out
         Console.SetError error
         out, error)

/// Runs code; the result, and what the code wrote to the output and to the error stream.
let run (code: unit -> 'a) : 'a * string * string =
    let outWriter, errorWriter = writers.Value
    let out, error = new StringWriter(NewLine = "\n"), new StringWriter(NewLine = "\n")
    outWriter.Capture <- TextWriter.Synchronized out
    errorWriter.Capture <- TextWriter.Synchronized error

    try
        let result = code ()
        result, string out, string error
    finally
        outWriter.Capture <- null
        errorWriter.Capture <- null
