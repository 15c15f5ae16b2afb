/// The text forms of protocol 0, opcodes that other tests do not use, and methods of values.
module NormFree.Tests.Archives.PickleLiteralTests

open System
open System.IO
open System.Text
open Expecto
open NormFree.Archives.Pickle
open NormFree.Tests.Data.Support
open NormFree.Tests.Formats
open NormFree.Tests.Archives.PickleFixtures

let private value (pickle: string) = read (latin1 (pickle + "."))
let private refusal (pickle: string) = Mutation.refusal (fun () -> value pickle)

let private bytesOf (value: PickleValue) =
    match value with
    | :? PickleBytes as bytes -> bytes.Value.ToArray()
    | other -> failtestf "%O are no bytes" other

let private literals =
    [ test "byte strings have Python's escapes" {
          for literal, expected in
              [ @"'a\n\r\t\a\b\f\v\\\'\""z'", "a\n\r\t\a\b\f\v\\'\"z"
                @"""it's""", "it's"
                @"'\x41\xff'", "A\255"
                @"'\0\7\101\3778'", "\000\007A\2558"
                @"'\18'", "\0018"
                @"'\1 x'", "\001 x"
                "  'a'\t\r", "a"
                "''", "" ] do
              Expect.equal (bytesOf (value $"S{literal}\n")) (latin1 expected) literal
      }

      test "strings have escapes of four and of eight digits, and other backslashes stay" {
          for literal, expected in
              [ @"\u0041\U0001F600", "A😀"
                @"\n\", @"\n\"
                // As Python decodes it: a backslash takes the next character with it.
                @"\\u0041", @"\\u0041"
                "é", "é" ] do
              Expect.equal (textOf (value $"V{literal}\n")) expected literal
      }

      for literal in [ "a"; "'"; "'a\""; "aa"; @"'\'"; @"'\q'"; @"'\x4'"; @"'\xZZ'"; @"'\8'"; "" ] do
          test $"no byte string: {literal}" {
              Expect.stringContains (refusal $"S{literal}\n") "expected a byte string" "message"
          }

      for literal in [ @"\u12"; @"\uZZZZ"; @"\U0001F60"; @"\U00110000" ] do
          test $"no string: {literal}" { Expect.stringContains (refusal $"V{literal}\n") "expected a string" "message" }

      test "floats are written as Python writes them" {
          for literal, expected in
              [ "1.5", 1.5
                "-1e300", -1e300
                "inf", Double.PositiveInfinity
                "-inf", Double.NegativeInfinity
                "nan", nan ] do
              Expect.isTrue ((realOf (value $"F{literal}\n")).Equals expected) literal

          for literal in [ "x"; ""; String('1', 513) ] do
              Expect.stringContains (refusal $"F{literal}\n") "expected a number" literal

          Expect.equal (realOf (value ("F" + String('0', 511) + "2\n"))) 2.0 "512 digits"
      }

      test "integers are written with or without L" {
          for literal, expected in [ "12", 12I; "-7L", -7I; "01", 1I; "00", 0I ] do
              let found = value $"L{literal}\n"
              Expect.equal (numberOf found) expected literal

          for literal, expected in [ "01", 1L; "00", 0L; "001", 1L ] do
              Expect.equal ((value $"I{literal}\n").AsInt64()) (Nullable expected) literal
      } ]

let private opcodes =
    [ for pickle, part in
          [ "K\001K\0021", "the stack has no mark"
            "t", "the stack has no mark"
            "0", "the stack has too few values"
            "cbuiltins\255\nx\n", "expected valid UTF-8"
            "Np4294967296\n", "expected a memo index"
            "NN\147", "expected a module and a name"
            "X\002\000\000\000osN\147", "expected a module and a name"
            "cnumpy\nndarray\nR", "the stack has too few values"
            "\138\255" + String('a', 255) + "\139\001\002\000\000", "an integer of 513 bytes" ] do
          test $"an opcode is refused: {NormFree.Formats.Printable.Text pickle}" {
              Expect.stringContains (refusal pickle) part "message"
          }

      test "a value or a mark is dropped" {
          Expect.equal (numberOf (value "I1\nI2\n0")) 1I "a value"
          Expect.equal (numberOf (value "I1\n(0")) 1I "a mark"
          Expect.equal (numberOf (value "I1\n(I2\n0I3\n1")) 1I "a mark with values"
      }

      test "objects are read if every name is allowed, and wrong ones are refused" {
          let any (pickle: string) =
              PickleReader.Read(
                  new MemoryStream(latin1 (pickle + ".")),
                  "damaged",
                  PickleLimits.Default,
                  PickleGlobals.Any
              )

          for pickle, part in
              [ "\130\001", "opcode 0x82"
                "(o", "expected a class and its arguments"
                "cx\nY\nN}\146", "expected a class, its arguments and keywords" ] do
              Expect.stringContains (Mutation.refusal (fun () -> any pickle)) part pickle

          match any "cx\nY\n)\129}b]b" with
          | :? PickleReduced as found -> Expect.isTrue (found.State :? PickleList) "the later state"
          | other -> failtestf "%O" other
      } ]

let private values =
    [ test "an ordered dictionary may have items and entries" {
          let found = value "ccollections\nOrderedDict\n)RI1\naV1\nI2\ns"
          Expect.equal (List.map numberOf (items found)) [ 1I ] "items"
          Expect.hasLength (nonNull (found.AsEntries())) 1 "entries"
      }

      test "a file is read by its path" {
          use folder = new TempFolder()
          let path = folder.Write("plain.pkl", fixture "plain-2.pkl")
          expectPlain (PickleReader.Open(path, both))
      }

      test "values are described by their kind" {
          for pickle, expected in
              [ "N", "None"
                "\136", "True"
                "\137", "False"
                "I7\n", "an integer"
                "F7\n", "a float"
                "V7\n", "the string '7'"
                "C\0017", "1 bytes"
                ")", "a tuple of 0"
                "]", "a list of 0"
                "}", "a dictionary of 0"
                "cnumpy\ndtype\n", "'numpy'.'dtype'"
                "cnumpy\ndtype\n)R", "a call of 'numpy'.'dtype'"
                "V1\nQ", "a persistent id" ] do
              Expect.equal (string (value pickle)) expected pickle
      }

      test "values that are no text, integer, items or entries have none" {
          for pickle in [ "N"; "F1\n" ] do
              let found = value pickle
              Expect.isNull (found.AsText()) "text"
              Expect.isFalse (found.AsInt64()).HasValue "integer"
              Expect.isNull (found.AsItems()) "items"
              Expect.isNull (found.AsEntries()) "entries"
              Expect.isNull (found.Find "x") "entry"

          Expect.isFalse ((value "L9223372036854775808L\n").AsInt64()).HasValue "2^63"
          Expect.isFalse ((value "L-9223372036854775809L\n").AsInt64()).HasValue "-2^63-1"
          Expect.isNull ((value "c_codecs\nencode\n(Vdata\nVutf8\ntR").AsText()) "another encoding"
          Expect.isNull ((value "}").Find "x") "a missing entry"
      }

      test "the union with every name is every name" {
          for union in [ PickleGlobals.Any.With PickleGlobals.None; PickleGlobals.None.With PickleGlobals.Any ] do
              Expect.isTrue (union.Allows("os", "system")) "a name"
      } ]

let tests = testList "pickle literals" (literals @ opcodes @ values)
