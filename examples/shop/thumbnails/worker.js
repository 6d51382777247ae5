// Makes thumbnails of product pictures; for want of pictures it says what it would do. Between two rounds it sleeps on a
// timer and uses no CPU.
const minutes = 10;
let round = 0;

function work() {
  round++;
  console.log(`thumbnails: round ${round}: no new pictures; the next look is in ${minutes} minutes`);
}

work();
const timer = setInterval(work, minutes * 60_000);

process.once('SIGTERM', () => {
  clearInterval(timer);
  console.log('thumbnails: done');
});
