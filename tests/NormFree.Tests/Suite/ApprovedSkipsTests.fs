module NormFree.Tests.Suite.ApprovedSkipsTests

open System
open Expecto
open NormFree.Tests.Suite

let private approvals =
    ApprovedSkips.parse
        "# a comment\n\nA.* | no AVX-512 | this processor does not have *\nA.b (c)? | root | root may write everywhere\n"

let private rules =
    [ for name, reason, met, expected in
          [ "A.x.y", "this processor does not have Avx512", "no AVX-512", true
            "A.x.y", "this processor does not have Avx512", "root", false
            "A.x.y", "another reason", "no AVX-512", false
            "B.A.x", "this processor does not have Avx512", "no AVX-512", false
            "A.b (c)?", "root may write everywhere", "root", true
            "A.b c", "root may write everywhere", "root", false ] do
          test $"{name}, skipped since {reason}, where there is {met}: {expected}" {
              Expect.equal (ApprovedSkips.isApproved ((=) met) approvals (name, reason)) expected "approved"
          } ]

let tests =
    testList
        "approved skips"
        [ yield! rules

          test "a line of two columns is refused" {
              Expect.throwsT<FormatException> (fun () -> ApprovedSkips.parse "A | root" |> ignore) "the line"
          }

          test "every condition of the list is known" {
              for approval in ApprovedSkips.read () do
                  Condition.holds approval.Condition |> ignore
          }

          test "an unknown condition is an error" {
              Expect.throwsT<FormatException> (fun () -> Condition.holds "no time" |> ignore) "the condition"
          } ]
