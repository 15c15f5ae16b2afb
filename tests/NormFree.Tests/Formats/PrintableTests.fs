/// Foreign text in messages.
module NormFree.Tests.Formats.PrintableTests

open System
open System.Globalization
open System.IO
open System.Text
open Expecto
open NormFree.Formats

/// Characters that act on a terminal or reorder the text around them.
let private harmful =
    [ for code in [ 0..0x1f ] @ [ 0x7f..0x9f ] -> code
      yield! [ 0x61c; 0x200e; 0x200f; 0x2028; 0x2029; 0xfeff ]
      yield! [ 0x202a..0x202e ]
      yield! [ 0x2066..0x2069 ] ]

let private isHarmful (rune: Rune) =
    List.contains rune.Value harmful
    || rune = Rune.ReplacementChar
    || Rune.GetUnicodeCategory rune = UnicodeCategory.Control

let private harmless (text: string) =
    text.EnumerateRunes()
    |> Seq.filter (fun rune -> rune.Value <> 0xfffd)
    |> Seq.forall (isHarmful >> not)

let tests =
    testList
        "printable text"
        [ test "every control, bidirectional and separator character is escaped by its number" {
              for code in harmful do
                  let text = $"a{Char.ConvertFromUtf32 code}b"
                  Expect.equal (Printable.Text text) $"a\\u%04x{code}b" "text"
                  Expect.equal (Quoted.Name(text.AsSpan())) $"'a\\u%04x{code}b'" "name"
          }

          test "letters of every script, emoji and what joins them stay" {
              for text in [ "Größe"; "日本"; "क्ष"; "نص"; "😀"; "👨\u200d👩\u200d👧"; "a\\u001b" ] do
                  Expect.equal (Printable.Text text) text "text"
          }

          test "unpaired surrogates and invisible characters past 16 bits are escaped" {
              let unpaired = String [| 'a'; char 0xd800; 'b'; char 0xdc00 |]
              Expect.equal (Printable.Text unpaired) "a\\ud800b\\udc00" "surrogates"
              Expect.equal (Printable.Text(Char.ConvertFromUtf32 0xe0041)) "\\U000e0041" "a tag"
          }

          testProperty "nothing harmful is left, and escaping twice changes nothing"
          <| fun (codes: uint16[]) ->
              let escaped = Printable.Text(String(Array.map char codes))
              Expect.isTrue (harmless escaped) escaped
              Expect.equal (Printable.Text escaped) escaped "twice"

          test "no file makes an error message long" {
              let message = InvalidFileException("a.bin", "the text", String('x', 10_000_000), "Repair it").Message
              Expect.isLessThan message.Length 5000 "length"
              Expect.stringContains message "a.bin, the text: xxx" "the beginning"
              Expect.stringEnds message "x…. Repair it." "the end"
          }

          test "lines stay lines where there are several" {
              Expect.equal (Printable.Lines "a\nb\r\u001b[2J") "a\nb\\u000d\\u001b[2J" "lines"
          }

          test "long names are cut, and never within a character" {
              let name = String('x', 79) + "😀"
              Expect.equal (Quoted.Name(name.AsSpan())) $"'{String('x', 79)}…'" "name"
          }

          test "arguments of commands are quoted where a shell needs it" {
              for argument, quoted in
                  [ "a/b-1_2.pth", "a/b-1_2.pth"
                    "", "''"
                    "my file.pth", "'my file.pth'"
                    "it's; rm", "'it'\\''s; rm'" ] do
                  Expect.equal (Quoted.Argument argument) quoted argument
          }

          test "of many names ten are listed and the rest is counted" {
              let names count = [ for i in 1..count -> $"key{i}\u001b" ]
              Expect.sequenceEqual (Printable.List(names 10)) [ for i in 1..10 -> $"key{i}\\u001b" ] "ten"
              let listed = Printable.List(names 1000)
              Expect.equal (listed.Count, listed[10]) (11, "and 990 more, 1000 in all") "a thousand"
              let long = Printable.List [ String('x', 1_000_000) ]
              Expect.isLessThan long[0].Length 300 "a long one"
          }

          test "an error names a file with escapes in its name in one harmless line" {
              let file = "a\u001b[31m\n\u202eb.safetensors"
              let message = Mutation.refusal (fun () -> Safetensors.SafetensorsFile.Read(new MemoryStream(), file))
              Expect.stringStarts message "a\\u001b[31m\\u000a\\u202eb.safetensors, byte 0: " "message"
          } ]
