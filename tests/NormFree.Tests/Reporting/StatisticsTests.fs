module NormFree.Tests.Reporting.StatisticsTests

open System
open Expecto
open NormFree.Reporting
open NormFree.Tests.Reporting

let private close = Expect.floatClose { absolute = 1e-9; relative = 1e-9 }

let tests =
    testList
        "statistics"
        [ test "a sample has a mean and a standard deviation with n − 1" {
              let sample = Statistics.sample [ 2.0; 4.0; 4.0; 4.0; 5.0; 5.0; 7.0; 9.0 ]
              close sample.Mean 5.0 "mean"
              close sample.Deviation (sqrt (32.0 / 7.0)) "deviation"
              close sample.StandardError (sqrt (32.0 / 56.0)) "error"
          }

          test "a single value has no standard deviation" {
              Expect.isTrue (Double.IsNaN (Statistics.sample [ 3.0 ]).Deviation) "deviation"
          }

          // Computed by numerical integration of the density with gamma functions.
          for freedom, t in
              [ 1.0, 12.706205
                1.5, 6.016663
                2.0, 4.302653
                3.448275862, 2.960730
                10.0, 2.228139
                100.0, 1.983972 ] do
              test $"Student's t for a 95 %% interval with {freedom} degrees of freedom" {
                  Expect.floatClose { absolute = 0.0; relative = 1e-4 } (Statistics.studentT freedom) t "t"
              }

          test "Welch's interval of two small samples" {
              let interval =
                  Statistics.welch (Statistics.sample [ 0.80; 0.81; 0.82 ]) (Statistics.sample [ 0.70; 0.71; 0.73 ])

              Expect.floatClose { absolute = 1e-5; relative = 0.0 } interval.Low 0.06545783 "low"
              Expect.floatClose { absolute = 1e-5; relative = 0.0 } interval.High 0.12787551 "high"
          }

          test "the paired interval sees a difference that is the same in every pair" {
              let interval = Statistics.paired [ 0.5; 0.7; 0.6 ] [ 0.4; 0.61; 0.5 ]
              // Differences 0.1, 0.09, 0.1: mean 0.0966667, standard error 0.0033333, t(2) = 4.302653.
              Expect.floatClose { absolute = 1e-6; relative = 0.0 } interval.Low 0.0823245 "low"
              Expect.floatClose { absolute = 1e-6; relative = 0.0 } interval.High 0.1110089 "high"
          }

          test "equal values make an interval of one point" {
              let interval = Statistics.welch (Statistics.sample [ 0.8; 0.8 ]) (Statistics.sample [ 0.5; 0.5 ])
              Expect.equal interval { Low = 0.8 - 0.5; High = 0.8 - 0.5 } "a point"
          }

          test "runs that differ only in seed and machine are one group" {
              let run seed =
                  { Samples.run "bn-free" 3 0.9 with
                      Label = $"bn-free, seed {seed}"
                      Configuration =
                          [ "norm", "bn-free"
                            "activations: seed", string seed
                            "environment.processor", $"machine {seed}" ] }

              let other = { run 3 with Configuration = [ "norm", "bn-free"; "alpha", "0.3" ] }
              let groups = RunGroup.ofRuns [ run 1; other; run 2 ]

              Expect.equal
                  (groups |> List.map (fun group -> group.Label, group.Runs.Length))
                  [ $"bn-free ({(run 1).Name})", 2; $"bn-free ({other.Name})", 1 ]
                  "groups"

              Expect.equal (RunGroup.ofRuns [ run 1; run 2 ] |> List.map _.Label) [ "bn-free" ] "one label"
          } ]
